// Draws one board from its JSON and the answers of Prometheus, which the page carries in `window.PREVIEW`.
import React from 'react';
import { createRoot } from 'react-dom/client';
import { dateTimeForTimeZone, createTheme } from '@grafana/data';
import { GlobalStyles, PanelChrome, PortalContainer, ThemeContext } from '@grafana/ui';
import 'uplot/dist/uPlot.min.css';
import { configured } from './fields.js';
import { frames, transformed } from './frames.js';
import { KINDS } from './panels.jsx';

const { board, answers, from, to, step, words, colours, chosen } = window.PREVIEW;
const WIDTH = 1600, ROW = 38, GAP = 8;
const theme = createTheme({ colors: { mode: colours } });
const timeRange = { from: dateTimeForTimeZone('utc', from * 1000), to: dateTimeForTimeZone('utc', to * 1000), raw: { from: 'now-1h', to: 'now' } };

function fail(error) {
  document.body.dataset.failed ??= String(error?.stack ?? error);
}
window.addEventListener('error', (event) => fail(event.error ?? event.message));

function place({ x, y, w, h }) {
  const column = (WIDTH + GAP) / 24;
  return { left: x * column, top: y * ROW, width: w * column - GAP, height: h * ROW - GAP };
}

function Heading({ panel }) {
  const { left, top, width, height } = place(panel.gridPos);
  return <h3 style={{ position: 'absolute', left, top, width, height, margin: 0, fontSize: 16 }}>{panel.title}</h3>;
}

function Panel({ panel, data }) {
  const { left, top, width, height } = place(panel.gridPos);
  const Kind = KINDS[panel.type];
  return (
    <div style={{ position: 'absolute', left, top }}>
      <PanelChrome title={panel.title} description={panel.description} width={width} height={height}
        padding={panel.type === 'table' ? 'none' : 'md'}>
        {(inner, tall) => <Kind panel={panel} data={data} width={inner} height={tall} theme={theme} timeRange={timeRange} />}
      </PanelChrome>
    </div>
  );
}

function Page({ filled }) {
  const tall = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * ROW;
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ width: WIDTH + 32, padding: 16, background: theme.colors.background.canvas }}>
        <header style={{ display: 'flex', justifyContent: 'space-between', alignItems: 'baseline', marginBottom: 12 }}>
          <h2 style={{ margin: 0 }}>{board.title}</h2>
          <span style={{ color: theme.colors.text.secondary }}>{chosen}</span>
          <span style={{ color: theme.colors.text.secondary }}>{words}</span>
        </header>
        <div style={{ position: 'relative', height: tall }}>
          {filled.map(({ panel, data }) =>
            panel.type === 'row' ? <Heading key={panel.id} panel={panel} /> : <Panel key={panel.id} panel={panel} data={data} />
          )}
        </div>
      </div>
      <PortalContainer />
    </ThemeContext.Provider>
  );
}

async function fill(panel) {
  if (panel.type === 'row') {
    return { panel };
  }
  const data = await transformed(panel, frames(panel, answers[panel.id], step * 1000));
  return { panel, data: configured(panel, data, theme) };
}

async function main() {
  const filled = await Promise.all(board.panels.map(fill));
  createRoot(document.getElementById('board')).render(<Page filled={filled} />);
  await document.fonts.ready;
  requestAnimationFrame(() => setTimeout(() => (document.body.dataset.drawn = 'yes'), 500));
}

main().catch(fail);
