import { mount } from 'svelte'
import './app.css'
import App from './App.svelte'
import { clock } from './lib/clock.svelte'
import { live } from './lib/live.svelte'
import { who } from './lib/me.svelte'
import { router } from './lib/router.svelte'
import { settings } from './lib/settings.svelte'
import { routes } from './routes'

settings.apply()
router.start()
clock.start()
who.start()
live.onSignedOut = () => void who.read()

// What a view needs is asked for at once, not one after another: each answer takes its time.
if (!location.hash) live.ahead() // a screen is signed in by its link before
routes.find((r) => router.match(r))?.load().catch(() => {}) // the view loads it again, and reports it

mount(App, { target: document.body })
