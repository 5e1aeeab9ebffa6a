// Elements.

const SVG = "http://www.w3.org/2000/svg";

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function h(tag, attributes = {}, ...children) {
  return made(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return made(document.createElementNS(SVG, tag), attributes, children);
}

/** Sets the text of an element, unless it has it. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute, or removes it if there is no value. */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * Makes the elements after `head` agree with keys, in order. An item has an `element`: it is made when its key
 * appears, and removed when it is gone, which is told to those with a function `gone`.
 */
export function follow(parent, items, keys, make, head = null) {
  const wanted = new Set(keys);
  for (const [key, item] of items) {
    if (wanted.has(key)) continue;
    item.element.remove();
    item.gone?.();
    items.delete(key);
  }
  let place = head ? head.nextElementSibling : parent.firstElementChild;
  for (const key of keys) {
    if (!items.has(key)) items.set(key, make(key));
    const { element } = items.get(key);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}
