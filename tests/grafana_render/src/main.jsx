// The page: ?board=FILE&from=now-10m&theme=light draws one board; window.seen tells what was asked and what went wrong.
import React from 'react';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import { ThemeContext } from '@grafana/data';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { initPluginTranslations } from '@grafana/i18n';
import { asked, Prometheus } from './prometheus.js';
import { note, problems, setUp } from './grafana.js';
import { registerPanels } from './panels.jsx';
import { sceneOf } from './board.js';

window.seen = { asked, problems };
window.addEventListener('error', (event) => note(event.message));
window.addEventListener('unhandledrejection', (event) => note(event.reason?.message || event.reason));

async function draw() {
  const wanted = new URLSearchParams(location.search);
  const theme = setUp(wanted.get('theme') || 'dark', new Prometheus());
  await initPluginTranslations('grafana').catch(() => {});
  registerPanels();
  const board = await (await fetch(`/boards/${wanted.get('board')}`)).json();
  const scene = sceneOf(board, wanted.get('from'));
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <MemoryRouter>
        <div style={{ background: theme.colors.background.canvas, minHeight: '100vh', padding: 8 }}>
          <h3 style={{ color: theme.colors.text.primary, margin: 0 }}>{board.title}</h3>
          <scene.Component model={scene} />
        </div>
      </MemoryRouter>
      <PortalContainer />
    </ThemeContext.Provider>,
  );
}

draw().catch((error) => note(error.stack || error));
