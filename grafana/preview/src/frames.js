// From what Prometheus answered to the data frames that Grafana's data source for Prometheus makes of it.
import { FieldType, createDataFrame, standardTransformers, standardTransformersRegistry, transformDataFrame } from '@grafana/data';

const { mergeTransformer, organizeFieldsTransformer, groupingToMatrixTransformer } = standardTransformers;
standardTransformersRegistry.setInit(() =>
  [mergeTransformer, organizeFieldsTransformer, groupingToMatrixTransformer].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation,
  }))
);

// `{{label}}` in a legend is the value of a label; `__auto` lists the labels, or says the query when there is none.
function legend(target, labels) {
  if (target.legendFormat === '__auto') {
    const { __name__, ...rest } = labels;
    const told = Object.entries(rest).map(([key, value]) => `${key}="${value}"`);
    return told.length === 1 ? Object.values(rest)[0] : told.length ? `{${told.join(', ')}}` : undefined;
  }
  return target.legendFormat.replace(/{{\s*(\w+)\s*}}/g, (_, label) => labels[label] ?? '');
}

// A time field that knows its interval lets lines break where nothing was scraped, as Grafana's own data source does.
function series(target, one, interval) {
  const points = one.values ?? [one.value];
  const name = legend(target, one.metric);
  return createDataFrame({
    refId: target.refId,
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000), config: { interval } },
      {
        name: 'Value',
        type: FieldType.number,
        labels: one.metric,
        values: points.map(([, value]) => Number(value)),
        config: name ? { displayNameFromDS: name } : {},
      },
    ],
  });
}

function table(target, answer, single) {
  const labels = [...new Set(answer.flatMap((one) => Object.keys(one.metric)))].sort();
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: answer.map((one) => one.value[0] * 1000), config: {} },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: answer.map((one) => one.metric[label] ?? ''),
        config: {},
      })),
      {
        name: single ? 'Value' : `Value #${target.refId}`,
        type: FieldType.number,
        values: answer.map((one) => Number(one.value[1])),
        config: {},
      },
    ],
  });
}

export function frames(panel, answers, interval) {
  return panel.targets.flatMap((target) => {
    const answer = answers[target.refId];
    return target.format === 'table'
      ? [table(target, answer, panel.targets.length === 1)]
      : answer.map((one) => series(target, one, interval));
  });
}

export function transformed(panel, data) {
  return new Promise((resolve) => {
    transformDataFrame(panel.transformations ?? [], data, { interpolate: (text) => text }).subscribe(resolve);
  });
}
