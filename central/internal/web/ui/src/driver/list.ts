// A list of requests as text: one per line, the id of a charging point or "any". A #
// begins a comment; blank lines, a byte order mark and any line ends are tolerated. It is
// the format that `sim driver run` reads.

export const most = 500
const id = /^[A-Za-z0-9_-]{1,64}$/

/** items: the charging points, "" for any; wrong: the lines that cannot be read. */
export function parseList(text: string): { items: string[]; wrong: { line: number; text: string }[] } {
  const items: string[] = []
  const wrong: { line: number; text: string }[] = []
  for (const [i, line] of text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/).entries()) {
    const word = line.split('#', 1)[0]!.trim()
    if (!word) continue
    if (word.toLowerCase() === 'any') items.push('')
    else if (id.test(word)) items.push(word)
    else wrong.push({ line: i + 1, text: word.slice(0, 40) })
  }
  return { items, wrong }
}
