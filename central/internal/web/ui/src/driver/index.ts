// The views of a driver, loaded together. The driver's own charge and list go on in all
// of them.
import { own } from './own.svelte'
import { requests } from './requests.svelte'

own.start()
requests.start()

export { default as Driver } from './Driver.svelte'
export { default as Point } from './Point.svelte'
export { default as Receipts } from './Receipts.svelte'
export { default as Receipt } from './Receipt.svelte'
export { default as Requests } from './Requests.svelte'
