// What a person has chosen for this browser: language and theme. It is kept in
// localStorage, which a browser may refuse.

export type Lang = 'en' | 'es'
export type Theme = 'auto' | 'light' | 'dark'

const langs: Lang[] = ['en', 'es']

function stored(key: string): string | null {
  try {
    return localStorage.getItem('carga.' + key)
  } catch {
    return null
  }
}

function store(key: string, value: string): void {
  try {
    localStorage.setItem('carga.' + key, value)
  } catch {
    // It holds until the page is closed.
  }
}

function preferred(): Lang {
  const wanted = [stored('lang'), ...navigator.languages]
  for (const tag of wanted) {
    const lang = langs.find((l) => tag?.toLowerCase().split('-')[0] === l)
    if (lang) return lang
  }
  return 'en'
}

class Settings {
  lang = $state<Lang>(preferred())
  theme = $state<Theme>((stored('theme') as Theme | null) ?? 'auto')

  /** The locale of numbers and dates: the browser's own for this language, if it has one. */
  locale = $derived(navigator.languages.find((l) => l.toLowerCase().split('-')[0] === this.lang) ?? this.lang)

  setLang(lang: Lang): void {
    this.lang = lang
    store('lang', lang)
    this.apply()
  }

  setTheme(theme: Theme): void {
    this.theme = theme
    store('theme', theme)
    this.apply()
  }

  apply(): void {
    document.documentElement.lang = this.lang
    if (this.theme === 'auto') delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = this.theme
  }
}

export const settings = new Settings()

/** What a component keeps for this browser under a key of its own. */
export const kept = { get: stored, set: store }
