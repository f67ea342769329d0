// BASE is the address of the folder below which Central serves this page. It is read
// once: later the address of the document changes with the view.
export const BASE = new URL('./', document.baseURI)

/** The address of something below BASE, such as "api/v1/stream". */
export const address = (path: string): string => new URL(path.replace(/^\//, ''), BASE).href
