// The screen at a charging point.
export { default as Monitor } from './Monitor.svelte'
