// A title that a view sets in place of its own name, such as the news of a driver's
// charge; "" leaves the name of the view.
class Title {
  text = $state('')
}

export const title = new Title()
