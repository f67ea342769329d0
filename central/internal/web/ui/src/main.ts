import { mount } from 'svelte'
import './app.css'
import App from './App.svelte'
import { clock } from './lib/clock.svelte'
import { live } from './lib/live.svelte'
import { who } from './lib/me.svelte'
import { router } from './lib/router.svelte'
import { settings } from './lib/settings.svelte'

settings.apply()
router.start()
clock.start()
who.start()
live.onSignedOut = () => void who.read()
live.ahead()

mount(App, { target: document.body })
