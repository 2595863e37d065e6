// What Grafana's core sets up before a board can be drawn, done again in small on its published packages.
import { from, of } from 'rxjs';
import { catchError, map } from 'rxjs/operators';
import * as data from '@grafana/data';
import * as runtime from '@grafana/runtime';

export const problems = [];
export const note = (text) => problems.push(String(text));

const SETTINGS = {
  uid: 'prometheus', name: 'Prometheus', type: 'prometheus', id: 1, isDefault: true, jsonData: {}, access: 'proxy',
  readOnly: true, meta: { id: 'prometheus', info: { logos: { small: '' } } },
};

export function setUp(mode, source) {
  const theme = data.createTheme({ colors: { mode } });
  runtime.config.theme2 = theme;
  runtime.config.theme = theme.v1;
  runtime.config.featureToggles = runtime.config.featureToggles || {};
  runtime.setAppEvents(new data.EventBusSrv());
  runtime.setEchoSrv({ addEvent() {}, addBackend() {}, flush() {} });
  runtime.setDataSourceSrv({
    get: async () => source, getList: () => [SETTINGS], getInstanceSettings: () => SETTINGS, reload() {},
    registerRuntimeDataSource() {},
  });
  runtime.setTemplateSrv({
    getVariables: () => [], replace: (text) => text, containsTemplate: () => false, updateTimeRange() {},
    getAdhocFilters: () => [],
  });
  const none = async () => ({});
  runtime.setBackendSrv({ fetch: none, get: none, post: none, datasourceRequest: none });
  runtime.setRunRequest(run);
  runtime.setPluginImportUtils({
    importPanelPlugin: async (id) => { throw new Error(`no panel ${id}`); },
    getPanelPluginFromCache: () => undefined,
  });
  data.standardTransformersRegistry.setInit(transformers);
  data.standardFieldConfigEditorRegistry.setInit(fieldOptions);
  data.standardEditorsRegistry.setInit(() => EDITORS.map((id) => ({ id, name: id, editor: () => null })));
  return theme;
}

function run(source, request, ask) {
  const asked = ask ? ask(request) : source.query(request);
  return (asked.pipe ? asked : from(asked)).pipe(
    map((answer) => ({
      state: data.LoadingState.Done, series: answer.data, timeRange: request.range, request, annotations: [],
    })),
    catchError((error) => {
      note(error.message);
      return of({
        state: data.LoadingState.Error, series: [], error: { message: error.message }, timeRange: request.range, request,
      });
    }),
  );
}

function transformers() {
  const known = Object.values(data.standardTransformers).filter((each) => each?.id && each.operator);
  const unique = [...new Map(known.map((each) => [each.id, each])).values()];
  return unique.map((each) => ({
    id: each.id, name: each.name, description: '', aliasIds: [], transformation: each, editor: () => null,
  }));
}

const EDITORS = [
  'number', 'slider', 'text', 'strings', 'boolean', 'select', 'multi-select', 'radio', 'unit', 'color', 'fieldColor',
  'mappings', 'thresholds', 'links', 'stats-picker', 'timezone', 'field-name', 'dashboard-uid', 'actions',
];

function fieldOptions() {
  const option = (id, process, defaultValue, path = id) => ({
    id, path, name: id, description: '', editor: () => null, override: () => null, process, shouldApply: () => true,
    settings: {}, ...(defaultValue === undefined ? {} : { defaultValue }),
  });
  const steps = [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }];
  return [
    option('displayName', data.displayNameOverrideProcessor),
    option('unit', data.unitOverrideProcessor),
    option('min', data.numberOverrideProcessor),
    option('max', data.numberOverrideProcessor),
    option('decimals', data.numberOverrideProcessor),
    option('noValue', data.stringOverrideProcessor),
    option('color', data.identityOverrideProcessor, { mode: 'thresholds' }),
    option('thresholds', data.thresholdsOverrideProcessor, { mode: 'absolute', steps }),
    option('mappings', data.valueMappingsOverrideProcessor, []),
    option('links', data.dataLinksOverrideProcessor),
    option('filterable', data.booleanOverrideProcessor),
    option('fieldMinMax', data.booleanOverrideProcessor),
  ];
}
