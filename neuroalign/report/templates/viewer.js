"use strict";
(function () {
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const scene = document.getElementById("viewer-scene");
  const pick = (name) => document.getElementById("viewer-" + name);
  const NOTHING = 65535;
  const GAP = 6;
  const eyes = {
    left: { eye: { x: -1.5, y: 0, z: 0.12 }, up: { x: 0, y: 0, z: 1 } },
    right: { eye: { x: 1.5, y: 0, z: 0.12 }, up: { x: 0, y: 0, z: 1 } },
    top: { eye: { x: 0, y: 0, z: 1.5 }, up: { x: 0, y: 1, z: 0 } },
    bottom: { eye: { x: 0, y: 0, z: -1.5 }, up: { x: 0, y: 1, z: 0 } },
    front: { eye: { x: 0, y: 1.5, z: 0.12 }, up: { x: 0, y: 0, z: 1 } },
    back: { eye: { x: 0, y: -1.5, z: 0.12 }, up: { x: 0, y: 0, z: 1 } },
  };
  let camera = { eye: { x: -1.1, y: 0.7, z: 0.65 }, up: { x: 0, y: 0, z: 1 } };

  function unpack(text, type) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
    return new type(bytes.buffer);
  }

  function thirds(values) {
    const size = values.length / 3;
    return [0, 1, 2].map((row) => values.subarray(row * size, (row + 1) * size));
  }

  for (const mesh of Object.values(data.meshes)) {
    mesh.faces = thirds(unpack(mesh.faces, Uint16Array));
    mesh.grey = unpack(mesh.grey, Uint8Array);
    mesh.vertices = unpack(mesh.vertices, Uint32Array);
    for (const name of Object.keys(mesh.shapes)) mesh.shapes[name] = thirds(unpack(mesh.shapes[name], Float32Array));
  }

  function fill(select, names) {
    const before = select.value;
    select.replaceChildren(...[...new Set(names)].map((name) => new Option(name, name)));
    if (names.includes(before)) select.value = before;
  }

  function offer() {
    fill(pick("model"), data.maps.map((entry) => entry.model));
    const ofModel = data.maps.filter((entry) => entry.model === pick("model").value);
    fill(pick("owner"), ofModel.map((entry) => entry.owner));
    const ofOwner = ofModel.filter((entry) => entry.owner === pick("owner").value);
    fill(pick("map"), ofOwner.map((entry) => entry.map));
    return ofOwner.find((entry) => entry.map === pick("map").value);
  }

  function dress(entry, hemi) {
    const mesh = data.meshes[hemi];
    const codes = unpack(entry.codes[hemi], Uint16Array);
    const significant = unpack(data.masks[entry.mask][hemi], Uint8Array);
    const colours = data.colours[entry.colours];
    const masked = pick("mask").checked;
    const vertexcolor = new Array(codes.length);
    const text = new Array(codes.length);
    for (let at = 0; at < codes.length; at += 1) {
      const where = hemi + " vertex " + mesh.vertices[at] + "<br>";
      if (codes[at] === NOTHING || (masked && !significant[at])) {
        const grey = mesh.grey[at];
        vertexcolor[at] = "rgb(" + grey + "," + grey + "," + grey + ")";
        text[at] = where + (codes[at] === NOTHING ? "no value" : "not significant");
      } else {
        const value = entry.low + (codes[at] / (NOTHING - 1)) * (entry.high - entry.low);
        const place = Math.round((255 * (value - entry.from)) / (entry.to - entry.from));
        vertexcolor[at] = "rgb(" + colours[Math.max(0, Math.min(255, place))].join(",") + ")";
        text[at] = where + entry.label + " " + value.toFixed(3);
      }
    }
    return { vertexcolor: vertexcolor, text: text };
  }

  function shifted(values, hemi, both) {
    if (!both) return values;
    const inner = hemi === "L" ? values.reduce((a, b) => Math.max(a, b)) : values.reduce((a, b) => Math.min(a, b));
    const by = (hemi === "L" ? -GAP / 2 : GAP / 2) - inner;
    return values.map((value) => value + by);
  }

  function traces(entry) {
    const both = pick("hemi").value === "both";
    const hemis = both ? ["L", "R"] : [pick("hemi").value];
    return hemis.map((hemi) => {
      const mesh = data.meshes[hemi];
      const shape = mesh.shapes[pick("shape").value];
      return Object.assign(dress(entry, hemi), {
        type: "mesh3d",
        x: shifted(shape[0], hemi, both),
        y: shape[1],
        z: shape[2],
        i: mesh.faces[0],
        j: mesh.faces[1],
        k: mesh.faces[2],
        hoverinfo: "text",
        lighting: { ambient: 0.72, diffuse: 0.48, specular: 0.05, roughness: 0.7, fresnel: 0.05 },
        lightposition: { x: 0, y: 2000, z: 100000 },
      });
    });
  }

  function drawBar(entry) {
    const bar = pick("bar");
    const pen = bar.getContext("2d");
    data.colours[entry.colours].forEach((colour, at) => {
      pen.fillStyle = "rgb(" + colour.join(",") + ")";
      pen.fillRect(at, 0, 1, 1);
    });
    pick("low").textContent = (entry.low < entry.from ? "≤ " : "") + entry.from.toFixed(2);
    pick("high").textContent = (entry.high > entry.to ? "≥ " : "") + entry.to.toFixed(2);
    pick("label").textContent = entry.label;
  }

  function draw() {
    const entry = offer();
    drawBar(entry);
    const axis = { visible: false, showspikes: false };
    const layout = {
      margin: { l: 0, r: 0, t: 0, b: 0 },
      scene: { camera: camera, xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "data" },
      showlegend: false,
    };
    Plotly.react(scene, traces(entry), layout, { displayModeBar: false, responsive: true });
  }

  function fail(reason) {
    const note = document.createElement("p");
    note.className = "missing";
    note.textContent = "The surface cannot be drawn here (" + reason + "); the still maps above show the same.";
    scene.replaceChildren(note);
  }

  function start() {
    const probe = document.createElement("canvas");
    if (!(probe.getContext("webgl") || probe.getContext("experimental-webgl"))) {
      fail("this browser has no WebGL");
      return;
    }
    for (const name of ["model", "owner", "map", "hemi", "shape", "mask"]) pick(name).addEventListener("change", draw);
    for (const button of document.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => {
        camera = eyes[button.dataset.view];
        Plotly.relayout(scene, { "scene.camera": camera });
      });
    }
    draw();
    scene.on("plotly_relayout", () => {
      camera = scene.layout.scene.camera;
    });
  }

  try {
    start();
  } catch (error) {
    fail(error.message);
  }
})();
