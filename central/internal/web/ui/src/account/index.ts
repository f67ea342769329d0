// Signing in and the first set-up.
export { default as SignIn } from './SignIn.svelte'
export { default as Setup } from './Setup.svelte'
