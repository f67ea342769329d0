import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

/** Writes a compressed copy beside each file of the build, which Central serves as it is. */
function compressed() {
  let out = ''
  return {
    name: 'compressed',
    configResolved(/** @type {{ build: { outDir: string } }} */ config) {
      out = config.build.outDir
    },
    closeBundle() {
      for (const name of readdirSync(join(out, 'assets'))) {
        const file = join(out, 'assets', name)
        writeFileSync(file + '.gz', gzipSync(readFileSync(file), { level: 9 }))
      }
    },
  }
}

/** Names the code of every view in index.html, so that the browser does not learn of it from the
 *  first script alone. */
function preloaded() {
  return {
    name: 'preloaded',
    transformIndexHtml: {
      order: /** @type {const} */ ('post'),
      handler: (/** @type {string} */ _, /** @type {{ bundle?: { [file: string]: { name?: string } } }} */ { bundle = {} }) =>
        Object.entries(bundle).filter(([, chunk]) => ['first', 'main', 'shared'].includes(chunk.name ?? ''))
          .map(([file]) => ({ tag: 'link', attrs: { rel: 'modulepreload', crossorigin: '', href: './' + file }, injectTo: /** @type {const} */ ('head') })),
    },
  }
}

export default defineConfig({
  base: './', // addresses are relative: Central may be served below any path
  plugins: [svelte(), preloaded(), compressed()],
  build: {
    outDir: 'dist',
    emptyOutDir: true, // public/.keep puts back the file that Git tracks
    target: 'es2022',
    assetsInlineLimit: 0,
    // Few files: each one is an answer to wait for. What several roles need is one, and the
    // styles are one. The first script needs almost nothing of it.
    cssCodeSplit: false,
    rollupOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'first', test: /asked\.ts|preload-helper/, priority: 1 },
            { name: 'shared', minShareCount: 2 },
          ],
        },
      },
    },
    modulePreload: false, // index.html names the files; the helper for it would be in the first script
    reportCompressedSize: false,
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8080' } },
})
