(() => {
  const STEP = 12;
  const WINDS = ["north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"];
  const section = document.getElementById("gallery");
  const data = JSON.parse(document.getElementById("gallery-data").textContent);
  const list = section.querySelector(".queries");
  const status = section.querySelector(".status");
  const more = section.querySelector(".more");
  const buttons = [...section.querySelectorAll("[data-filter]")];
  const chosen = { outcome: "", set: "", light: "" };

  const make = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };
  const passes = (row, filter) => Object.entries(filter).every(([name, value]) => value === "" || String(row[name] ?? "") === value);
  const matching = () => data.rows.filter((row) => passes(row, chosen));
  const metres = (distance) => (distance < 100 ? `${distance.toFixed(1)} m` : distance < 1000 ? `${distance.toFixed(0)} m` : `${(distance / 1000).toFixed(1)} km`);

  function image(number, alt) {
    const [uri, width, height] = data.pictures[number];
    const element = make("img");
    Object.assign(element, { alt, width, height, decoding: "async", src: uri });
    return element;
  }

  function arrow(bearing) {
    const own = section.querySelector(".legend .arrow").cloneNode(true);
    own.style.transform = `rotate(${bearing}deg)`;
    return own;
  }

  function answer([number, distance, bearing, isRight]) {
    const word = isRight ? "right" : "wrong";
    const isKnown = distance !== null; // a set that lists its right images may have no positions
    const wind = isKnown && distance >= 0.05 ? ` ${WINDS[Math.round(bearing / 45) % 8]}` : "";
    const way = isKnown ? `${metres(distance)}${wind} of the query, ` : "";
    const mark = make("span", "mark", isRight ? "✓" : "✗");
    mark.ariaHidden = "true";
    const frame = make("div", "frame", image(number, `database picture, ${way}${word}`), mark);
    const caption = make("figcaption", "", ...(wind ? [arrow(bearing)] : []), isKnown ? metres(distance) : word);
    return make("li", word, make("figure", "", frame, caption));
  }

  function told(row, first) {
    if (row.unmapped) return `no database picture is within ${row.radius} m`;
    if (first === 0) return "the nearest is right";
    return first === null ? "none of the first 20 is right" : `the first right one is number ${first + 1}`;
  }

  function strip(row, place) {
    const found = row.answers[place];
    const who = make("p", "who", make("b", "", data.models[place].title), make("span", "", told(row, found.first)));
    return make("div", "", who, make("ol", "nearest", ...found.nearest.map(answer)));
  }

  function item(row) {
    const set = data.sets[row.set];
    const light = row.light ? `, ${row.light}` : "";
    const caption = make("figcaption", "", make("b", "", `Query ${row.query}`), ` of ${set}${light}`, make("br"));
    caption.append(make("span", "outcome", row.outcome), make("small", "", row.name));
    const query = make("figure", "query", image(row.picture, `query ${row.query} of ${set}`), caption);
    const own = make("li", "row", query, make("div", "models", ...row.answers.map((_, place) => strip(row, place))));
    own.tabIndex = -1;
    return own;
  }

  function tell(rows) {
    status.textContent = rows.length ? `${list.children.length} of ${rows.length} queries shown` : "No query here is like this; choose another filter";
    const left = rows.length - list.children.length;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(STEP, left)} more`;
  }

  function grow() {
    const rows = matching();
    const before = list.children.length;
    list.append(...rows.slice(before, before + STEP).map(item));
    tell(rows);
    return list.children[before];
  }

  function refresh() {
    for (const button of buttons) {
      const { filter, value } = button.dataset;
      button.ariaPressed = String(chosen[filter] === value);
      button.querySelector(".count").textContent = data.rows.filter((row) => passes(row, { ...chosen, [filter]: value })).length;
    }
    list.replaceChildren();
    grow();
  }

  for (const button of buttons) {
    button.addEventListener("click", () => {
      chosen[button.dataset.filter] = button.dataset.value;
      refresh();
    });
  }
  more.addEventListener("click", () => grow()?.focus({ preventScroll: true }));
  refresh();
})();
