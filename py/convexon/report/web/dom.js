/**
 * What every script of a page needs: its data, and elements.
 *
 * Scripts share one global object, `convexon`, and nothing else.
 */
"use strict";

globalThis.convexon = {};

(() => {
  /**
   * Make an element.
   *
   * @param {string} tag
   * @param {Object<string, string>} [attributes]
   * @param {...(Node|string)} children
   * @returns {HTMLElement}
   */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  /**
   * Read what the page carries under an id.
   *
   * @param {string} id
   * @returns {any}
   */
  function embedded(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  /**
   * Return the parts of a page, or of an element of it, by the name in `data-part`.
   *
   * @param {ParentNode} root
   * @returns {Object<string, HTMLElement>}
   */
  function parts(root) {
    const found = {};
    for (const part of root.querySelectorAll("[data-part]")) {
      found[part.dataset.part] = part;
    }
    return found;
  }

  /**
   * Replace what a select offers.
   *
   * @param {HTMLSelectElement} select
   * @param {string[]} texts one an option; its value is its index
   * @param {number} [chosen] index
   */
  function offer(select, texts, chosen = 0) {
    select.replaceChildren(
      ...texts.map((text, index) => element("option", { value: String(index) }, text)),
    );
    select.value = String(chosen);
  }

  /**
   * Make a table.
   *
   * @param {string} caption for those who do not see where it stands
   * @param {string[]} header
   * @param {{cells: (Node|string)[], class?: string}[]} rows
   * @returns {HTMLElement}
   */
  function table(caption, header, rows) {
    const head = element("tr", {}, ...header.map((cell) => element("th", { scope: "col" }, cell)));
    const body = rows.map((row) =>
      element(
        "tr",
        row.class ? { class: row.class } : {},
        ...row.cells.map((cell) => element("td", {}, cell)),
      ),
    );
    return element(
      "table",
      { "aria-label": caption },
      element("thead", {}, head),
      element("tbody", {}, ...body),
    );
  }

  /**
   * Item of a legend.
   *
   * @param {string} text
   * @param {string} color by its name in page.css
   * @param {?string} mark a sign in this colour; a filled square where null
   * @returns {HTMLElement}
   */
  function legendItem(text, color, mark = null) {
    const style = `--swatch: var(--${color})`;
    return mark === null
      ? element("li", { style }, text)
      : element("li", { style, class: "mark", "data-mark": mark }, text);
  }

  /**
   * Call a function for the keys that it knows, and keep the page from scrolling for them.
   *
   * @param {HTMLElement} target
   * @param {Object<string, () => void>} actions by name of the key
   */
  function onKeys(target, actions) {
    target.addEventListener("keydown", (event) => {
      const action = actions[event.key];
      if (action && !event.ctrlKey && !event.altKey && !event.metaKey) {
        event.preventDefault();
        action();
      }
    });
  }

  convexon.dom = { element, embedded, parts, offer, table, legendItem, onKeys };
})();
