// The first script, and a small one: it asks for what every view waits for, and for the code
// of the view, while the browser still reads the rest of the page.
import { ask } from './lib/asked'

if (!location.hash) { // a screen is signed in by its link before
  ask('me')
  ask('stream', { Accept: 'text/event-stream' })
}

const place = location.pathname.slice(new URL(document.baseURI).pathname.length).split('/')[0]
const code =
  place === 'd' || place === 'c' ? import('./driver')
  : place === 'm' ? import('./monitor')
  : place === 'signin' || place === 'setup' ? import('./account')
  : import('./operator')
code.catch(() => {}) // the view loads it again, and reports what went wrong
void import('./main')
