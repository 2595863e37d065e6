// A board's JSON as a scene: Grafana's own grid, panels' frames, variables, time range, transformations.
import * as scenes from '@grafana/scenes';

const SOURCE = { uid: 'prometheus', type: 'prometheus' };

export function sceneOf(board, from) {
  return new scenes.EmbeddedScene({
    $timeRange: new scenes.SceneTimeRange({ from: from || board.time.from, to: board.time.to }),
    $variables: new scenes.SceneVariableSet({ variables: board.templating.list.map(variable) }),
    controls: [new scenes.VariableValueSelectors({}), new scenes.SceneControlsSpacer(), new scenes.SceneTimePicker({})],
    body: new scenes.SceneGridLayout({ children: board.panels.map(child) }),
  });
}

function child(panel) {
  const { x, y, w, h } = panel.gridPos;
  if (panel.type === 'row') { return new scenes.SceneGridRow({ title: panel.title, x: 0, y, children: [] }); }
  return new scenes.SceneGridItem({ x, y, width: w, height: h, body: framed(panel) });
}

function framed(panel) {
  const queries = panel.targets.map((target) => ({ ...target, datasource: SOURCE }));
  const runner = new scenes.SceneQueryRunner({ queries, datasource: SOURCE, maxDataPoints: panel.maxDataPoints });
  const { transformations } = panel;
  return new scenes.VizPanel({
    key: `panel-${panel.id}`, title: panel.title, description: panel.description, pluginId: panel.type,
    options: panel.options, fieldConfig: panel.fieldConfig,
    $data: transformations ? new scenes.SceneDataTransformer({ $data: runner, transformations }) : runner,
  });
}

function variable(told) {
  const shared = { name: told.name, label: told.label, hide: told.hide };
  if (told.type === 'datasource') { return new scenes.ConstantVariable({ ...shared, hide: 2, value: SOURCE.uid }); }
  if (told.type !== 'query') { throw new Error(`variable ${told.name}: type ${told.type}`); }
  return new scenes.QueryVariable({
    ...shared, datasource: SOURCE, query: told.query.query, regex: told.regex || '', sort: told.sort, refresh: told.refresh,
    isMulti: told.multi, includeAll: told.includeAll, allValue: told.allValue,
    value: told.current?.value, text: told.current?.text,
  });
}
