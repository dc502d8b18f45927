// Sort a table by the column whose title is clicked. Missing numbers and shares that are never reached come last.
document.querySelectorAll("table.sortable").forEach((table) => {
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  // A row of the paper moves with the row above it.
  const blocks = [];
  rows.forEach((row) => (row.classList.contains("printed") ? blocks[blocks.length - 1].push(row) : blocks.push([row])));
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") === "descending" || !head.hasAttribute("aria-sort");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const key = (block) => {
        const cell = block[0].cells[column];
        return cell.dataset.value === "" ? cell.textContent.trim() : Number(cell.dataset.value);
      };
      const numeric = blocks.some((block) => typeof key(block) === "number");
      const last = (value) => numeric && (typeof value !== "number" || value > 1e98);
      blocks.sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (last(a) || last(b)) return last(a) - last(b);
        const order = numeric ? a - b : String(a).localeCompare(String(b));
        return ascending ? order : -order;
      });
      blocks.flat().forEach((row) => table.tBodies[0].append(row));
    });
  });
});

// Say above a table or figure that is wider than its place that it can be scrolled, and let the keyboard do it.
document.querySelectorAll(".wide").forEach((box) => {
  const hint = Object.assign(document.createElement("p"), { className: "hint", textContent: "Scroll sideways to see all \u2192" });
  box.before(hint);
  const check = () => {
    const scrolls = box.scrollWidth > box.clientWidth + 1;
    hint.hidden = !scrolls;
    box.classList.toggle("scrolls", scrolls);
    box.toggleAttribute("tabindex", scrolls);
    if (scrolls) box.setAttribute("tabindex", "0");
  };
  check();
  new ResizeObserver(check).observe(box);
});
