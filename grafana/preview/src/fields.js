// The options of fields that the boards use, with Grafana's own rules for defaults and overrides.
import { FieldConfigOptionsRegistry, applyFieldOverrides, cacheFieldDisplayNames } from '@grafana/data';

const PLAIN = ['unit', 'min', 'max', 'noValue', 'thresholds', 'color', 'links', 'decimals', 'displayName'];
const CUSTOM = ['cellOptions', 'width', 'minWidth', 'align', 'filterable', 'inspect'];
const option = (path, isCustom) => ({
  id: isCustom ? `custom.${path}` : path,
  path,
  isCustom,
  name: path,
  process: (value) => value,
  shouldApply: () => true,
  override: () => null,
  editor: () => null,
});
const registry = new FieldConfigOptionsRegistry(() => [
  ...PLAIN.map((path) => option(path, false)),
  ...CUSTOM.map((path) => option(path, true)),
]);
const LINE = { drawStyle: 'line', lineWidth: 1, fillOpacity: 0, showPoints: 'never', axisPlacement: 'auto', spanNulls: false };

export function configured(panel, data, theme) {
  const fieldConfig = { defaults: panel.fieldConfig.defaults, overrides: panel.fieldConfig.overrides ?? [] };
  const found = applyFieldOverrides({
    data,
    fieldConfig,
    replaceVariables: (text) => text,
    theme,
    fieldConfigRegistry: registry,
    timeZone: 'utc',
  });
  const defaults = panel.type === 'timeseries' ? { ...LINE, ...fieldConfig.defaults.custom } : fieldConfig.defaults.custom;
  for (const frame of found) {
    for (const field of frame.fields) {
      field.config.custom = { ...defaults, ...field.config.custom };
    }
  }
  cacheFieldDisplayNames(found);
  return found;
}
