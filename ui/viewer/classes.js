// The list of classes: each with its probability and a small map. A click explains it, or compares it with the target.
(() => {
  const colour = () => {
    const name = Object.keys(window.viewerColours)[0];
    return (window.viewerTable ??= Uint8Array.from(atob(window.viewerColours[name]), (c) => c.charCodeAt(0)));
  };
  const load = async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
  };
  const drawSmall = async (canvas, pictureUrl, mapUrl) => {
    const [picture, map] = await Promise.all([load(pictureUrl), mapUrl ? load(mapUrl) : null]);
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(map ?? picture, 0, 0, canvas.width, canvas.height);
    if (!map) { context.fillStyle = "rgba(20, 18, 16, 0.55)"; context.fillRect(0, 0, canvas.width, canvas.height); return; }
    const image = context.getImageData(0, 0, canvas.width, canvas.height), table = colour();
    for (let i = 0; i < image.data.length; i += 4) {
      const at = 3 * image.data[i];
      image.data.set([table[at], table[at + 1], table[at + 2], 153], i);
    }
    const layer = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    layer.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(picture, 0, 0);
    context.drawImage(layer, 0, 0);
  };
  window.attachClasses = (host, props, trigger, watch) => {
    const list = host.querySelector(".classes");
    const show = () => {
      const value = props.value;
      const focused = list.contains(document.activeElement) ? document.activeElement.dataset : null;
      list.replaceChildren();
      for (const row of value?.classes ?? []) {
        const target = row.label === value.target, against = row.label === value.against;
        const button = Object.assign(document.createElement("button"), { type: "button", className: "class" });
        button.setAttribute("aria-pressed", String(target));
        button.dataset.label = row.label;
        button.dataset.role = "target";
        const canvas = document.createElement("canvas");
        const name = Object.assign(document.createElement("span"), { className: "class-name", textContent: row.label });
        const bar = Object.assign(document.createElement("span"), { className: "class-bar" });
        const fill = document.createElement("i");
        fill.style.width = `${100 * row.probability}%`;
        bar.append(fill);
        const share = Object.assign(document.createElement("b"), { textContent: `${(100 * row.probability).toFixed(row.probability < 0.1 ? 1 : 0)}%` });
        button.append(canvas, name, share, bar);
        button.onclick = () => trigger("select", { label: row.label, role: "target" });
        const other = Object.assign(document.createElement("button"), { type: "button", className: "versus", textContent: "vs" });
        other.dataset.label = row.label;
        other.dataset.role = "against";
        other.title = `Why ${value.target}, and not ${row.label}?`;
        other.setAttribute("aria-label", other.title);
        other.setAttribute("aria-pressed", String(against));
        other.hidden = target;
        other.onclick = () => trigger("select", { label: against ? "" : row.label, role: "against" });
        const item = document.createElement("li");
        item.append(button, other);
        list.append(item);
        drawSmall(canvas, value.picture, row.map);
      }
      if (focused) [...list.querySelectorAll("button")].find((b) => b.dataset.label === focused.label && b.dataset.role === focused.role)?.focus();
    };
    watch("value", show);
    show();
  };
})();
