// Builds the page and serves it; /prometheus is the server that PROMETHEUS names, /boards the folder that BOARDS names.
import fs from 'node:fs';
import path from 'node:path';

const boards = {
  name: 'boards',
  configurePreviewServer(server) {
    server.middlewares.use('/boards', (request, response) => {
      const file = path.join(process.env.BOARDS, path.basename(request.url.split('?')[0]));
      response.setHeader('Content-Type', 'application/json');
      response.end(fs.readFileSync(file));
    });
  },
};

export default {
  plugins: [boards],
  // The packages import a router that Grafana's core patches, and names that only its core has.
  resolve: { alias: { 'react-router-dom-v5-compat': 'react-router-dom' }, dedupe: ['react', 'react-dom'] },
  build: { target: 'es2022', minify: false, chunkSizeWarningLimit: 99999, rolldownOptions: { shimMissingExports: true } },
  define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
  preview: {
    host: '127.0.0.1',
    strictPort: true,
    proxy: { '/prometheus': { target: process.env.PROMETHEUS, rewrite: (p) => p.replace('/prometheus', '') } },
  },
};
