// The viewer: draws a picture and its map on a canvas. Opacity, colours, views, wipe and zoom send no request.
(() => {
  const VIEWS = [
    ["overlay", "Overlay"], ["side", "Side by side"], ["only", "Only what counts"], ["contours", "Contours"], ["original", "Original"],
  ];
  const POSITIVE = [230, 97, 1], NEGATIVE = [44, 90, 200];  // as in explain/render.py
  const LEVELS = [64, 128, 192];  // of the contours, of 255
  const tables = {};
  const table = (name) => (tables[name] ??= Uint8Array.from(atob(window.viewerColours[name]), (c) => c.charCodeAt(0)));
  const limit = (value, low, high) => Math.min(high, Math.max(low, value));
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const loadImage = async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
  };
  const surface = (width, height) => element("canvas", { width, height });

  // The grey levels of a map, and where it is highest: {width, height, levels, peak}.
  const readMap = (image) => {
    const canvas = surface(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const levels = new Uint8Array(rgba.length / 4);
    let peak = 0;
    for (let i = 0; i < levels.length; i++) {
      levels[i] = rgba[4 * i];
      if (levels[i] > levels[peak]) peak = i;
    }
    return { width: canvas.width, height: canvas.height, levels, peak };
  };

  // A canvas of the size of the map, painted pixel by pixel: paint(index, rgba, place).
  const paintMap = (map, paint) => {
    const canvas = surface(map.width, map.height), context = canvas.getContext("2d");
    const image = context.createImageData(map.width, map.height);
    for (let i = 0; i < map.levels.length; i++) paint(i, image.data, 4 * i);
    context.putImageData(image, 0, 0);
    return canvas;
  };

  // The lowest level among the hottest `share` of the pixels.
  const threshold = (levels, share) => {
    const counts = new Uint32Array(256);
    for (const level of levels) counts[level]++;
    let left = Math.max(1, Math.round(share * levels.length)), level = 255;
    while (level > 0 && (left -= counts[level]) > 0) level--;
    return level;
  };

  window.attachViewer = (host, props, watch) => {
    const root = host.querySelector(".viewer");
    const state = {
      view: "overlay", opacity: 0.6, share: 0.1, colours: Object.keys(window.viewerColours)[0], wipe: 0,
      zoom: 1, x: 0.5, y: 0.5, picture: null, maps: [], facts: {},
    };
    const canvas = element("canvas", { className: "viewer-canvas" });
    const reading = element("output", { className: "viewer-reading", hidden: true });
    const handle = element("div", { className: "viewer-handle", hidden: true });
    const badge = element("span", { className: "viewer-badge", hidden: true });
    const stage = element("div", { className: "viewer-stage", tabIndex: 0 }, canvas, handle, badge, reading);
    stage.setAttribute("role", "img");
    const views = VIEWS.map(([name, title], index) => {
      const button = element("button", { type: "button", textContent: title, title: `${title} (key ${index + 1})` });
      button.dataset.view = name;
      button.onclick = () => change({ view: name });
      return button;
    });
    const group = element("div", { className: "viewer-views" }, ...views);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "View");
    const slider = element("input", { type: "range", min: 0, max: 100, step: 1 });
    const sliderName = element("span"), sliderValue = element("b");
    slider.oninput = () => change(state.view === "only" ? { share: Math.max(1, +slider.value) / 100 } : { opacity: slider.value / 100 });
    const amount = element("label", { className: "viewer-amount" }, sliderName, slider, sliderValue);
    const colours = element("select", { className: "viewer-colours" }, ...Object.keys(window.viewerColours).map((name) => new Option(name)));
    colours.setAttribute("aria-label", "Colours");
    colours.onchange = () => change({ colours: colours.value });
    const icon = (path, title, action) => {
      const button = element("button", { type: "button", title, onclick: action, className: "viewer-icon" });
      button.innerHTML = `<svg viewBox="0 0 20 20" width="18" height="18" fill="none" stroke="currentColor" stroke-width="1.6" aria-hidden="true"><path d="${path}"/></svg>`;
      button.setAttribute("aria-label", title);
      return button;
    };
    const zoom = icon("M13 13l5 5M8.5 14a5.5 5.5 0 1 1 0-11a5.5 5.5 0 0 1 0 11zM6 8.5h5M8.5 6v5", "Zoom (double click)", () => zoomTo(state.zoom > 1 ? 1 : 2.5, 0.5, 0.5));
    const full = icon("M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4", "Full screen (key F)", () => document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen());
    const save = icon("M10 3v9M6 9l4 4l4-4M3 16h14", "Save the picture as shown", () => {
      const link = element("a", { href: canvas.toDataURL("image/png"), download: `${state.facts.name || "view"}.png` });
      link.click();
    });
    const ramp = element("span", { className: "viewer-ramp" });
    const low = element("span"), high = element("span");
    const legend = element("div", { className: "viewer-legend" }, low, ramp, high);
    const tools = element("div", { className: "viewer-tools" }, amount, colours, zoom, full, save);
    root.append(group, stage, legend, tools);

    let scheduled = false;
    const paint = () => {
      if (scheduled) return;
      scheduled = true;
      requestAnimationFrame(() => { scheduled = false; draw(); });
    };
    const change = (changes) => { Object.assign(state, changes); describe(); paint(); };

    // Two maps are the two signs of one.
    const signed = () => state.maps.length > 1;

    const describe = () => {
      root.dataset.view = state.view;
      for (const button of views) button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
      const only = state.view === "only";
      sliderName.textContent = only ? "Share" : "Opacity";
      slider.setAttribute("aria-label", only ? "Share of the pixels that stay, in percent" : "Opacity, in percent");
      slider.value = Math.round(100 * (only ? state.share : state.opacity));
      sliderValue.textContent = `${slider.value} %`;
      amount.hidden = state.view === "original" || state.view === "contours";
      colours.hidden = signed() || state.view === "only" || state.view === "original";
      const css = (rgb) => `rgb(${rgb.join()})`;
      const stops = signed() ? [css(NEGATIVE), "transparent", css(POSITIVE)]
        : [0, 32, 64, 96, 128, 160, 192, 224, 255].map((i) => css([...table(state.colours).slice(3 * i, 3 * i + 3)]));
      ramp.style.background = `linear-gradient(to right, ${stops.join()})`;
      [low.textContent, high.textContent] = signed()
        ? [state.facts.against ? `for ${state.facts.against}` : `against ${state.facts.label ?? "this class"}`, `for ${state.facts.label ?? "this class"}`] : ["no evidence", "most evidence"];
    };

    const layer = () => {
      const map = state.maps[0], other = state.maps[1];
      if (state.view === "only") {
        const least = Math.max(1, threshold(map.levels, state.share));
        return paintMap(map, (i, rgba, place) => {
          rgba[place] = rgba[place + 1] = rgba[place + 2] = 14;
          rgba[place + 3] = map.levels[i] >= least ? 0 : 224;
        });
      }
      if (other) {
        return paintMap(map, (i, rgba, place) => {
          const plus = map.levels[i] >= other.levels[i];
          rgba.set(plus ? POSITIVE : NEGATIVE, place);
          rgba[place + 3] = Math.min(255, 1.5 * state.opacity * Math.max(map.levels[i], other.levels[i]));
        });
      }
      const colour = table(state.colours), alpha = Math.round(255 * state.opacity);
      return paintMap(map, (i, rgba, place) => {
        const at = 3 * map.levels[i];
        rgba[place] = colour[at]; rgba[place + 1] = colour[at + 1]; rgba[place + 2] = colour[at + 2];
        rgba[place + 3] = alpha;
      });
    };

    // Lines where the map, enlarged to the canvas, passes a level.
    const contours = (width, height) => {
      const map = state.maps[0];
      const grey = paintMap(map, (i, rgba, place) => { rgba.fill(map.levels[i], place, place + 3); rgba[place + 3] = 255; });
      const canvas = surface(width, height), context = canvas.getContext("2d", { willReadFrequently: true });
      context.imageSmoothingQuality = "high";
      context.drawImage(grey, 0, 0, width, height);
      const image = context.getImageData(0, 0, width, height), level = (i) => image.data[4 * i];
      const lines = context.createImageData(width, height), colour = table(state.colours);
      for (let y = 0; y < height - 1; y++) {
        for (let x = 0; x < width - 1; x++) {
          const i = y * width + x, here = level(i);
          for (const bar of LEVELS) {
            if (here >= bar === level(i + 1) >= bar && here >= bar === level(i + width) >= bar) continue;
            for (const at of [i, i + 1, i + width, i + width + 1]) {
              lines.data.set(colour.subarray(3 * bar, 3 * bar + 3), 4 * at);
              lines.data[4 * at + 3] = 255;
            }
          }
        }
      }
      context.putImageData(lines, 0, 0);
      return canvas;
    };

    const peak = () => {
      const map = state.maps[0], best = map.peak;
      return map.levels[best] ? [(best % map.width + 0.5) / map.width, (Math.floor(best / map.width) + 0.5) / map.height] : null;
    };

    const draw = () => {
      if (!state.picture || !state.maps.length) return;
      const { naturalWidth: width, naturalHeight: height } = state.picture;
      const two = state.view === "side";
      const scale = limit(1280 / width, 1, 2);  // small pictures are enlarged, so that lines are thin
      const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
      canvas.width = two ? 2 * w + 8 : w;
      canvas.height = h;
      const context = canvas.getContext("2d");
      if (!context) return degrade();
      context.imageSmoothingQuality = "high";
      // The part of the picture that is shown.
      const part = 1 / state.zoom, left = limit(state.x - part / 2, 0, 1 - part), top = limit(state.y - part / 2, 0, 1 - part);
      const put = (image, at) => context.drawImage(
        image, left * (image.naturalWidth || image.width), top * (image.naturalHeight || image.height),
        part * (image.naturalWidth || image.width), part * (image.naturalHeight || image.height), at, 0, w, h);
      put(state.picture, 0);
      if (state.view !== "original") {
        const at = two ? w + 8 : 0, cut = two ? 0 : Math.round(state.wipe * w);
        if (two) put(state.picture, at);
        context.save();
        context.beginPath();
        context.rect(at + cut, 0, w - cut, h);
        context.clip();
        put(state.view === "contours" ? contours(w, h) : layer(), at);
        context.restore();
        if (cut) { context.fillStyle = "#fff"; context.fillRect(cut - 2, 0, 4, h); }
        const hottest = peak();
        if (hottest && state.view !== "only") {
          const [x, y] = [at + (hottest[0] - left) / part * w, (hottest[1] - top) / part * h];
          for (const [colour, line] of [["#000", 6], ["#fff", 3]]) {
            context.strokeStyle = colour; context.lineWidth = line;
            context.beginPath(); context.arc(x, y, 0.018 * w + 4, 0, 7); context.stroke();
          }
        }
      }
      handle.hidden = two || state.view === "original";
      handle.style.left = `${canvas.offsetLeft + state.wipe * canvas.clientWidth}px`;
      root.dataset.drawn = String(1 + (+root.dataset.drawn || 0));
    };

    // Without a canvas: the picture with the grey map above it.
    const degrade = () => {
      const below = element("img", { src: state.picture.src, alt: state.facts.text }), above = element("img", { src: state.facts.maps[0], alt: "" });
      above.className = "viewer-above";
      stage.replaceChildren(below, above);
    };

    const zoomTo = (factor, x, y) => {
      if (!["overlay", "only", "contours", "original", "side"].includes(state.view)) return;
      change({ zoom: factor, x, y });
      root.dataset.zoom = String(factor);
    };

    // The place under the pointer, as shares of the picture; null beside it.
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      let x = (event.clientX - box.left) / box.width;
      const y = (event.clientY - box.top) / box.height;
      const shown = x;
      if (state.view === "side") x = x > 0.5 ? 2 * x - 1 : 2 * x;
      if (x < 0 || x > 1 || y < 0 || y > 1) return null;
      const part = 1 / state.zoom;
      return { shown, x: limit(state.x - part / 2, 0, 1 - part) + x * part, y: limit(state.y - part / 2, 0, 1 - part) + y * part };
    };
    const read = (at) => {
      const value = (map) => map.levels[Math.min(map.height - 1, Math.floor(at.y * map.height)) * map.width
        + Math.min(map.width - 1, Math.floor(at.x * map.width))];
      const levels = state.maps.map(value);
      const most = state.maps[0].levels[state.maps[0].peak] || 1;
      const number = signed() ? (levels[0] - levels[1]) / 255 : levels[0] / most;
      reading.textContent = signed() ? `here: ${number.toFixed(2)}` : `here: ${number.toFixed(2)} of the peak`;
      reading.hidden = false;
    };
    let drag = null;
    stage.onpointerdown = (event) => {
      if (!state.maps.length) return;
      drag = { x: event.clientX, y: event.clientY, fromX: state.x, fromY: state.y };
      stage.setPointerCapture(event.pointerId);
    };
    stage.onpointermove = (event) => {
      if (!state.maps.length) return;
      const at = place(event);
      if (at) read(at); else reading.hidden = true;
      if (!drag || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 4) return;
      const box = canvas.getBoundingClientRect();
      if (state.zoom > 1) {
        const half = 0.5 / state.zoom;
        change({
          x: limit(drag.fromX - (event.clientX - drag.x) / box.width / state.zoom, half, 1 - half),
          y: limit(drag.fromY - (event.clientY - drag.y) / box.height / state.zoom, half, 1 - half),
        });
      } else if (!["side", "original"].includes(state.view)) {
        change({ wipe: limit((event.clientX - box.left) / box.width, 0, 1) });
      }
    };
    stage.onpointerup = stage.onpointercancel = () => (drag = null);
    stage.onpointerleave = () => (reading.hidden = true);
    stage.ondblclick = (event) => {
      const at = place(event);
      if (at) zoomTo(state.zoom > 1 ? 1 : 2.5, at.x, at.y);
    };
    stage.onkeydown = (event) => {
      const number = +event.key;
      const step = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
      if (step) change({ wipe: limit(state.wipe + step, 0, 1) });
      else if (number >= 1 && number <= VIEWS.length) change({ view: VIEWS[number - 1][0] });
      else if (event.key === "+" || event.key === "=") change({ opacity: limit(state.opacity + 0.1, 0, 1) });
      else if (event.key === "-") change({ opacity: limit(state.opacity - 0.1, 0, 1) });
      else if (event.key === "f" || event.key === "F") full.click();
      else return;
      event.preventDefault();
    };
    new ResizeObserver(paint).observe(stage);

    // A newer value may come while the pictures of this one are decoded; only the newest is shown.
    let newest = 0;
    const show = async () => {
      const value = props.value, number = ++newest;
      if (!value || !value.maps) {
        root.hidden = true;
        Object.assign(state, { picture: null, maps: [], facts: {} });
        delete root.dataset.label;
        return;
      }
      const [picture, ...images] = await Promise.all([value.picture || null, ...value.maps].map((url) => url && loadImage(url)));
      if (picture) state.picture = picture;
      if (number !== newest) return;
      if (value.view && value.view !== state.facts.view) state.view = VIEWS.some(([name]) => name === value.view) ? value.view : state.view;
      if (picture) Object.assign(state, { zoom: 1, wipe: 0 });
      Object.assign(state, { maps: images.map(readMap), facts: value });
      stage.setAttribute("aria-label", value.text);
      badge.textContent = value.badge ?? "";
      badge.hidden = !value.badge;
      root.dataset.label = value.label ?? "";
      root.dataset.sample = value.sample ?? "";
      root.hidden = false;
      describe();
      paint();
    };
    watch("value", show);
    describe();
    show();
  };
})();
