// Whether an element is near the window: what is not seen need not be drawn each second.

const watched = new WeakMap<Element, (seen: boolean) => void>()
let observer: IntersectionObserver | undefined

/** An attachment that reports when its element comes near the window, and when it leaves. */
export const seen = (report: (seen: boolean) => void) => (element: Element) => {
  observer ??= new IntersectionObserver((entries) => entries.forEach((e) => watched.get(e.target)?.(e.isIntersecting)), { rootMargin: '300px' })
  watched.set(element, report)
  observer.observe(element)
  return () => {
    watched.delete(element)
    observer?.unobserve(element)
  }
}
