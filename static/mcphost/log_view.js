// Draws a log of any length. Lines stand in blocks, and only the blocks near the view have elements. When the height
// of what is above the view changes, the visible lines stay in place.
const PER_BLOCK = 100;
const LINE_HEIGHT = 20;
const AHEAD = "1200px 0px";

export class LogView {
  // `box` scrolls; `draw(line, the one before it)` makes the element of one line.
  constructor(box, draw) {
    this.box = box;
    this.draw = draw;
    this.blocks = [];
    this.count = 0;
    this.of = new WeakMap();
    this.observer = new IntersectionObserver((seen) => this.seen(seen), { root: box, rootMargin: AHEAD });
  }

  get lines() {
    return this.blocks.flatMap((block) => block.lines);
  }

  get first() {
    return this.blocks[0]?.lines[0];
  }

  get last() {
    return this.blocks.at(-1)?.lines.at(-1);
  }

  show(lines) {
    this.blocks.forEach((block) => this.remove(block));
    this.blocks = [];
    this.count = 0;
    this.append(lines);
  }

  append(lines) {
    let at = 0;
    const open = this.blocks.at(-1);
    if (open && open.lines.length < PER_BLOCK) {
      const room = lines.slice(0, PER_BLOCK - open.lines.length);
      const from = open.lines.push(...room) - room.length;
      if (open.drawn) open.node.append(...this.elements(open, from));
      else this.reserve(open);
      at = room.length;
    }
    for (; at < lines.length; at += PER_BLOCK) {
      const block = this.block(lines.slice(at, at + PER_BLOCK));
      this.blocks.push(block);
      this.box.append(block.node);
      this.observer.observe(block.node);
    }
    this.count += lines.length;
  }

  prepend(lines) {
    const first = this.blocks[0];
    this.inPlace(() => {
      for (let end = lines.length; end > 0; end -= PER_BLOCK) {
        const block = this.block(lines.slice(Math.max(0, end - PER_BLOCK), end));
        this.box.insertBefore(block.node, this.blocks[0]?.node ?? null);
        this.blocks.unshift(block);
        this.observer.observe(block.node);
      }
    });
    this.count += lines.length;
    this.redrawFirst(first);
  }

  // Drops the oldest blocks beyond `most` lines.
  trim(most) {
    while (this.blocks.length > 1 && this.count - this.blocks[0].lines.length >= most) {
      const block = this.blocks.shift();
      this.count -= block.lines.length;
      this.remove(block);
      this.redrawFirst(this.blocks[0]);
    }
  }

  // Draws the first line of a block again: the line before it has changed, and with it the date.
  redrawFirst(block) {
    if (block?.drawn) block.node.firstChild.replaceWith(this.elements(block, 0, 1)[0]);
  }

  // The element of a line, drawn if it was not; null where the line is not here.
  element(id) {
    const block = this.blocks.find((one) => one.lines.some((line) => line.id === id));
    if (!block) return null;
    this.fill(block);
    return block.node.querySelector(`[data-id="${id}"]`);
  }

  // What is drawn now, element and line.
  drawn(act) {
    const blocks = this.blocks.filter((block) => block.drawn);
    this.inPlace(() => blocks.forEach(({ node, lines }) => lines.forEach((line, at) => act(node.children[at], line))));
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  atEnd() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 24;
  }

  block(lines) {
    const block = { lines, node: document.createElement("div"), drawn: false };
    block.node.className = "mh-log-block";
    this.of.set(block.node, block);
    this.reserve(block);
    return block;
  }

  reserve(block) {
    block.node.style.height = `${block.lines.length * LINE_HEIGHT}px`;
  }

  remove(block) {
    this.observer.unobserve(block.node);
    block.node.remove();
  }

  seen(entries) {
    const following = this.atEnd();
    this.inPlace(() => entries.forEach((entry) => {
      const block = this.of.get(entry.target);
      if (entry.isIntersecting) this.fill(block);
      else this.empty(block);
    }));
    if (following) this.toEnd();
  }

  elements(block, from = 0, to = undefined) {
    const before = this.blocks[this.blocks.indexOf(block) - 1]?.lines.at(-1);
    return block.lines.slice(from, to).map((line, at) => this.draw(line, block.lines[from + at - 1] ?? before));
  }

  fill(block) {
    if (block.drawn) return;
    block.drawn = true;
    block.node.style.height = "";
    block.node.replaceChildren(...this.elements(block));
  }

  empty(block) {
    if (!block.drawn) return;
    block.drawn = false;
    block.node.style.height = `${block.node.offsetHeight}px`;
    block.node.replaceChildren();
  }

  // Changes heights and keeps what stands at the upper edge of the view where it is.
  inPlace(change) {
    const anchor = this.atTop();
    const before = anchor?.offsetTop;
    change();
    if (anchor?.isConnected && anchor.offsetTop !== before) this.box.scrollTop += anchor.offsetTop - before;
  }

  atTop() {
    const top = this.box.scrollTop;
    let low = 0;
    let high = this.blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.blocks[middle].node.offsetTop <= top) low = middle;
      else high = middle - 1;
    }
    const block = this.blocks[low];
    if (!block?.drawn) return block?.node;
    return [...block.node.children].find((line) => line.offsetTop + line.offsetHeight > top) ?? block.node;
  }
}
