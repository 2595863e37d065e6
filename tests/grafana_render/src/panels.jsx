// The panels' plugins live in Grafana's core and are not published: a few lines around the published charts stand for
// them. The state timeline's chart is not published either and is drawn here, with Grafana's colours and texts.
import React, { useMemo } from 'react';
import {
  applyNullInsertThreshold, cacheFieldDisplayNames, formattedValueToString, getDisplayValueAlignmentFactors, getFieldDisplayName,
  getFieldDisplayValues, PanelPlugin, VizOrientation,
} from '@grafana/data';
import * as ui from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { sceneUtils } from '@grafana/scenes';
import { note } from './grafana.js';

const PALETTE = { color: { defaultValue: { mode: 'palette-classic' } } };
const LINES = {
  drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, lineStyle: { fill: 'solid' }, fillOpacity: 0, gradientMode: 'none',
  barAlignment: 0, barWidthFactor: 0.6, spanNulls: false, insertNulls: false, showPoints: 'auto', pointSize: 5,
  stacking: { mode: 'none', group: 'A' }, axisPlacement: 'auto', axisLabel: '', axisColorMode: 'text', axisBorderShow: false,
  axisCenteredZero: false, axisSoftMin: undefined, axisSoftMax: undefined, scaleDistribution: { type: 'linear' },
  hideFrom: { tooltip: false, viz: false, legend: false }, thresholdsStyle: { mode: 'off' },
};
const CELLS = { align: 'auto', cellOptions: { type: 'auto' }, inspect: false, filterable: false, width: undefined, minWidth: 50 };

function Nothing({ fieldConfig }) {
  const { noValue } = fieldConfig.defaults;
  return <div data-empty={noValue ? 'told' : 'untold'} style={{ textAlign: 'center', paddingTop: 24, opacity: 0.7 }}>{noValue || 'No data'}</div>;
}

// The plugin's own first step: where samples are missing, nothing is drawn.
function graphable(series, { from, to }) {
  const [refFieldPseudoMin, refFieldPseudoMax] = [from.valueOf(), to.valueOf()];
  return series.filter((frame) => frame.length)
    .map((frame) => applyNullInsertThreshold({ frame, refFieldPseudoMin, refFieldPseudoMax }));
}

function TimeSeries(panel) {
  const frames = useMemo(() => graphable(panel.data.series, panel.timeRange), [panel.data.series]);
  if (!frames.length) { return <Nothing {...panel} />; }
  const { timeRange, timeZone, width, height, options } = panel;
  return (
    <ui.TimeSeries frames={frames} structureRev={panel.data.structureRev} timeRange={timeRange} timeZone={timeZone} width={width}
      height={height} legend={options.legend} options={options} replaceVariables={panel.replaceVariables}>
      {() => null}
    </ui.TimeSeries>
  );
}

function Repeated({ panel, draw, ...more }) {
  const theme = ui.useTheme2();
  const values = getFieldDisplayValues({
    fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables: panel.replaceVariables, theme,
    data: panel.data.series, sparkline: panel.options.graphMode === 'area', timeZone: panel.timeZone,
  });
  if (!panel.data.series.length && !panel.fieldConfig.defaults.noValue) { return <Nothing {...panel} />; }
  return (
    <ui.VizRepeater getValues={() => values} getAlignmentFactors={getDisplayValueAlignmentFactors} width={panel.width}
      height={panel.height} source={panel.data} itemSpacing={3} renderCounter={panel.renderCounter} autoGrid
      orientation={panel.options.orientation || VizOrientation.Auto} renderValue={(each) => draw(each, theme)} {...more} />
  );
}

const Stat = (panel) => (
  <Repeated panel={panel} draw={({ value, width, height, count }, theme) => (
    <ui.BigValue value={value.display} count={count} sparkline={panel.options.graphMode === 'area' ? value.sparkline : undefined}
      colorMode={panel.options.colorMode} graphMode={panel.options.graphMode} justifyMode={panel.options.justifyMode}
      textMode={panel.options.textMode} text={panel.options.text} width={width} height={height} theme={theme} />
  )} />
);

const BarGauge = (panel) => (
  <Repeated panel={panel} autoGrid={false} minVizHeight={10} draw={({ value, width, height, orientation, alignmentFactors }, theme) => (
    <ui.BarGauge value={value.display} width={width} height={height} field={value.field} text={panel.options.text}
      display={value.view?.getFieldDisplayProcessor(value.colIndex)} orientation={orientation} theme={theme}
      displayMode={panel.options.displayMode} valueDisplayMode={panel.options.valueMode} alignmentFactors={alignmentFactors}
      itemSpacing={8} lcdCellWidth={8} showUnfilled={panel.options.showUnfilled} />
  )} />
);

function Table(panel) {
  const [frame] = panel.data.series;
  if (!frame?.length) { return <Nothing {...panel} />; }
  cacheFieldDisplayNames(panel.data.series);
  return (
    <TableNG data={frame} width={panel.width} height={panel.height} structureRev={panel.data.structureRev} getActions={() => []}
      timeRange={panel.timeRange} fieldConfig={panel.fieldConfig} initialSortBy={panel.options.sortBy} />
  );
}

const NAMES_WIDTH = 190;

function StateTimeline(panel) {
  const theme = ui.useTheme2();
  const rows = panel.data.series.map((frame) => ({
    times: frame.fields[0].values, field: frame.fields[1], name: getFieldDisplayName(frame.fields[1], frame, panel.data.series),
  }));
  if (!rows.length) { return <Nothing {...panel} />; }
  const [from, to] = [panel.timeRange.from.valueOf(), panel.timeRange.to.valueOf()];
  const x = (at) => NAMES_WIDTH + ((at - from) / (to - from)) * (panel.width - NAMES_WIDTH);
  const height = panel.height / rows.length;
  return (
    <svg width={panel.width} height={panel.height}>
      {rows.map(({ times, field, name }, row) => (
        <g key={name} transform={`translate(0, ${row * height})`}>
          <text y={height / 2 + 4} fontSize={11} fill={theme.colors.text.primary}>{name}</text>
          {stretches(times, field.values).map(([value, start, end]) => (
            <rect key={start} x={x(start)} y={2} width={Math.max(1, x(end) - x(start))} height={height - 4}
              fill={field.display(value).color} fillOpacity={0.7}><title>{formattedValueToString(field.display(value))}</title></rect>
          ))}
        </g>
      ))}
    </svg>
  );
}

function stretches(times, values) {
  const found = [];
  values.forEach((value, place) => {
    const last = found.at(-1);
    if (last && last[0] === value) { last[2] = times[place]; return; }
    if (last) { last[2] = times[place]; }
    found.push([value, times[place], times[place]]);
  });
  return found;
}

class Guarded extends React.Component {
  state = {};
  static getDerivedStateFromError(error) { return { error }; }
  componentDidCatch(error) { note(`${this.props.id}: ${error.stack || error}`); }
  render() { return this.state.error ? <pre>{String(this.state.error)}</pre> : this.props.children; }
}

function register(id, Chart, standardOptions, custom) {
  const Panel = (panel) => <Guarded id={id}><Chart {...panel} /></Guarded>;
  const useCustomConfig = (builder) => Object.entries(custom).forEach(([name, defaultValue]) => builder.addCustomEditor({
    id: name, path: name, name, editor: () => null, override: () => null, defaultValue, process: (value) => value,
    shouldApply: () => true, settings: {},
  }));
  const plugin = new PanelPlugin(Panel).useFieldConfig({ standardOptions, ...(custom && { useCustomConfig }) });
  sceneUtils.registerRuntimePanelPlugin({ pluginId: id, plugin });
}

export function registerPanels() {
  register('timeseries', TimeSeries, PALETTE, LINES);
  register('stat', Stat);
  register('bargauge', BarGauge);
  register('table', Table, undefined, CELLS);
  register('state-timeline', StateTimeline, undefined, { fillOpacity: 70, lineWidth: 0 });
}
