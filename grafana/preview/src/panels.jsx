// One panel of each kind that the boards use.
import React from 'react';
import { VizOrientation, getDisplayProcessor, getFieldDisplayValues, getDisplayValueAlignmentFactors } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

function displays({ panel, data, theme }) {
  const reduceOptions = panel.options.reduceOptions;
  const fieldConfig = { defaults: panel.fieldConfig.defaults, overrides: [] };
  return getFieldDisplayValues({ fieldConfig, reduceOptions, replaceVariables: (text) => text, theme, data, timeZone: 'utc' });
}

const Nothing = () => <div style={{ textAlign: 'center', paddingTop: 40 }}>No data</div>;

function Stat({ width, height, ...rest }) {
  const [first] = displays(rest);
  const { theme, panel } = rest;
  const value = first?.display ?? { text: panel.fieldConfig.defaults.noValue, numeric: NaN };
  const plain = { ...value, title: undefined };
  return (
    <BigValue value={plain} width={width} height={height} theme={theme} textMode="value" justifyMode="center"
      colorMode={panel.options.colorMode} graphMode={panel.options.graphMode} />
  );
}

function Bars({ width, height, ...rest }) {
  const { panel, theme } = rest;
  const factors = (values) => getDisplayValueAlignmentFactors(values);
  return (
    <VizRepeater source={rest.data} getValues={() => displays(rest)} getAlignmentFactors={factors} width={width}
      height={height} minVizHeight={panel.options.minVizHeight} maxVizHeight={panel.options.maxVizHeight} minVizWidth={8} itemSpacing={6} renderCounter={0}
      orientation={VizOrientation.Horizontal} autoGrid={false}
      renderValue={({ value, alignmentFactors, width, height, count }) => (
        <BarGauge value={value.display} width={width} height={height} field={value.field} theme={theme}
          orientation={VizOrientation.Horizontal} display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          text={panel.options.text ?? {}} itemSpacing={6} displayMode={panel.options.displayMode} showUnfilled={panel.options.showUnfilled}
          alignmentFactors={count > 1 ? alignmentFactors : undefined} isOverflow={false} />
      )} />
  );
}

function Lines({ panel, data, width, height, timeRange }) {
  if (!data.length) {
    return <Nothing />;
  }
  return (
    <TimeSeries frames={data} width={width} height={height} timeRange={timeRange} timeZone="utc"
      legend={panel.options.legend} options={{}} />
  );
}

function Table({ panel, data, width, height, timeRange }) {
  const sortBy = panel.options.sortBy ?? [];
  if (!data[0]?.length) {
    return <Nothing />;
  }
  return (
    <TableNG data={data[0]} width={width} height={height} initialSortBy={sortBy} timeRange={timeRange} />
  );
}

// Grafana's heatmap is in no package. This stand-in shows the same cells: what came into each class, by time.
function Heat({ data, width, height, theme, timeRange }) {
  const rows = data.map((frame) => frame.fields[1]).sort((a, b) => Number(a.labels.le.replace('+Inf', 'Infinity')) - Number(b.labels.le.replace('+Inf', 'Infinity')));
  if (!rows.length) {
    return <Nothing />;
  }
  const show = getDisplayProcessor({ field: { ...rows[0], config: { unit: 's' } }, theme });
  const left = 70, bottom = 20, steps = Math.max(...rows.map((row) => row.values.length));
  const cells = rows.map((row, place) => row.values.map((value, at) => value - (place ? rows[place - 1].values[at] ?? 0 : 0)));
  const most = Math.max(1, ...cells.flat());
  const cell = { width: (width - left) / steps, height: (height - bottom) / rows.length };
  const label = (bound) => (bound === '+Inf' ? '∞' : (({ text, suffix }) => `${text}${suffix ?? ''}`)(show(Number(bound))));
  const from = timeRange.from.format('HH:mm'), to = timeRange.to.format('HH:mm');
  return (
    <svg width={width} height={height} fontSize={11} fill={theme.colors.text.secondary}>
      {rows.map((row, place) => (
        <g key={row.labels.le} transform={`translate(0 ${(rows.length - 1 - place) * cell.height})`}>
          <text x={left - 8} y={cell.height / 2 + 4} textAnchor="end">≤ {label(row.labels.le)}</text>
          {cells[place].map((count, at) => (
            <rect key={at} x={left + at * cell.width} width={cell.width + 0.5} height={cell.height - 1}
              fill={count > 0 ? theme.visualization.getColorByName('orange') : theme.colors.background.canvas}
              opacity={count > 0 ? 0.15 + (0.85 * count) / most : 1} />
          ))}
        </g>
      ))}
      <text x={left} y={height - 4}>{from}</text>
      <text x={width} y={height - 4} textAnchor="end">{to}</text>
    </svg>
  );
}

export const KINDS = { stat: Stat, bargauge: Bars, timeseries: Lines, table: Table, heatmap: Heat };
