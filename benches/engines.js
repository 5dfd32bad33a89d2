// engine name → { ready(), load(model), run() }: the same network on the same tensor, one thread, FP32 arithmetic.

/**
 * @typedef {object} Engine
 * @property {() => Promise<void>} start fetches and compiles the engine itself
 * @property {(model: string) => Promise<number>} load ms from bytes in memory to the end of the first run
 * @property {() => Promise<{ scores: Float32Array, milliseconds: number }>} run
 * @property {() => number} memory bytes of wasm memory
 */

export const SIDE = 224;
const MODELS = '/cache/models';

/** A photo of noise and blobs; the tensor that it becomes at mean = std = 0.5. */
export function photo() {
  const rgba = new Uint8ClampedArray(SIDE * SIDE * 4);
  let state = 1;
  for (let i = 0; i < rgba.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    rgba[i] = i % 4 === 3 ? 255 : 128 + 90 * Math.sin(i / 900) + (state >>> 27);
  }
  const nchw = new Float32Array(3 * SIDE * SIDE);
  const nhwc = new Float32Array(3 * SIDE * SIDE);
  for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
    for (let c = 0; c < 3; c++) {
      const value = (rgba[pixel * 4 + c] / 255 - 0.5) / 0.5;
      nchw[c * SIDE * SIDE + pixel] = value;
      nhwc[pixel * 3 + c] = value;
    }
  }
  return { rgba, nchw, nhwc };
}

const bytes = async (/** @type {string} */ url) => new Uint8Array(await (await fetch(url)).arrayBuffer());

/** Runs `make` and gives the wasm memories that came to be meanwhile. */
async function memories(make) {
  const found = new Set();
  const { Memory, instantiate, instantiateStreaming } = WebAssembly;
  const exported = (result) => {
    const instance = result.instance ?? result;
    for (const value of Object.values(instance.exports)) if (value instanceof Memory) found.add(value);
    return result;
  };
  WebAssembly.instantiate = async (...args) => exported(await instantiate(...args));
  WebAssembly.instantiateStreaming = async (...args) => exported(await instantiateStreaming(...args));
  WebAssembly.Memory = new Proxy(Memory, {
    construct(target, args) {
      const memory = new target(...args);
      found.add(memory);
      return memory;
    },
  });
  const value = await make();
  Object.assign(WebAssembly, { Memory, instantiate, instantiateStreaming });
  return { value, memory: () => [...found].reduce((sum, memory) => sum + memory.buffer.byteLength, 0) };
}

/** Modules are instantiated once a page. @type {Map<string, Promise<{ module: any, size: () => number }>>} */
const modules = new Map();

async function instantiate(folder) {
  // As www/worker/modules.js does.
  const [module, file] = await Promise.all([import(`/${folder}/whylens.js`), fetch(`/${folder}/whylens_bg.wasm`)]);
  const { memory: size } = await memories(() => module.default({ module_or_path: file }));
  return { module, size };
}

/** @returns {Engine} */
function whylens(folder, heatmap) {
  const { rgba } = photo();
  const pixels = new Uint8Array(rgba.buffer);
  let module, size, url;
  const options = {
    topK: 1,
    threshold: 0,
    heatmap: heatmap ? { layers: [] } : null,
    scores: true,
    maxPixels: 1e8,
    maxBytes: 1e9,
  };
  const { signal } = new AbortController();
  return {
    async start() {
      if (!modules.has(folder)) modules.set(folder, instantiate(folder));
      ({ module, size } = await modules.get(folder));
    },
    async load(model, { waiting = false } = {}) {
      url = new URL(model === 'shipped' ? '/shipped/model.json' : `${MODELS}/${model}/packed/model.json`, location.href)
        .href;
      const { report } = await module.load(
        url,
        {
          heatmap: true,
          memoryLimit: 2e9,
          languages: ['en'],
          cache: null,
          warmUp: !waiting,
          retries: 0,
          retryDelay: 100,
          stallTimeout: 60_000,
        },
        () => {},
        new AbortController().signal,
      );
      return report.timing.prepare + report.timing.warmUp;
    },
    async run() {
      const { scores, timing } = await module.classifyPixels(
        url,
        'result',
        pixels,
        SIDE,
        SIDE,
        0,
        options,
        () => {},
        signal,
      );
      return { scores: Float32Array.from(scores), milliseconds: timing.inference + timing.heatmap };
    },
    memory: () => size(),
  };
}

/** @returns {Engine} */
function onnxruntime() {
  const { nchw } = photo();
  let ort, session, size, input, output;
  return {
    async start() {
      ort = await import('/modules/onnxruntime-web/dist/ort.wasm.min.mjs');
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.wasmPaths = '/modules/onnxruntime-web/dist/';
    },
    async load(model) {
      const file = await bytes(`${MODELS}/${model}/original.onnx`);
      const start = performance.now();
      ({ value: session, memory: size } = await memories(() =>
        ort.InferenceSession.create(file, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' }),
      ));
      [input] = session.inputNames;
      [output] = session.outputNames;
      await this.run();
      return performance.now() - start;
    },
    async run() {
      const start = performance.now();
      const tensor = new ort.Tensor('float32', nchw, [1, 3, SIDE, SIDE]);
      const results = await session.run({ [input]: tensor });
      return { scores: results[output].data, milliseconds: performance.now() - start };
    },
    memory: () => size(),
  };
}

/** @returns {Engine} */
function litert() {
  const { nhwc } = photo();
  let lib, model, size;
  return {
    async start() {
      lib = await import('/modules/@litertjs/core/dist/index.js');
      ({ memory: size } = await memories(() => lib.loadLiteRt('/modules/@litertjs/core/wasm/', { threads: false })));
    },
    async load(name) {
      const file = await bytes(`${MODELS}/${name}/model.tflite`);
      const start = performance.now();
      model = await lib.loadAndCompile(file, { accelerator: 'wasm' });
      await this.run();
      return performance.now() - start;
    },
    async run() {
      const start = performance.now();
      const tensor = new lib.Tensor(nhwc, [1, SIDE, SIDE, 3]);
      const [result] = await model.run(tensor);
      const scores = result.toTypedArray().slice();
      tensor.delete();
      result.delete();
      return { scores, milliseconds: performance.now() - start };
    },
    memory: () => size(),
  };
}

/** Loads a classic script. */
const script = (/** @type {string} */ src) =>
  new Promise((resolve, reject) => {
    document.head.append(Object.assign(document.createElement('script'), { src, onload: resolve, onerror: reject }));
  });

/** tfjs with its fused operators, as its converter would call them. @returns {Engine} */
function tfjs() {
  const { nhwc } = photo();
  const dist = '/modules/@tensorflow/tfjs-backend-wasm/dist/';
  let tf, size, steps;
  const run = (step, inputs) => {
    const [x, y] = inputs;
    const { strides, pad, weight, bias, activation } = step;
    switch (step.op) {
      case 'Conv':
        return tf.fused.conv2d({ x, filter: weight, strides, pad, bias, activation: activation ?? 'linear' });
      case 'Depthwise':
        return tf.fused.depthwiseConv2d({ x, filter: weight, strides, pad, bias, activation: activation ?? 'linear' });
      case 'Gemm':
        return tf.fused.matMul({ a: x, b: weight, bias });
      case 'MaxPool':
        return tf.maxPool(tf.pad(x, pad, -3e38), step.kernel, strides, 'valid');
      case 'Add':
        return tf.add(x, y);
      case 'Relu':
        return tf.relu(x);
      case 'GlobalAveragePool':
        return tf.mean(x, [1, 2]);
      case 'Flatten':
      case 'Reshape':
        return x;
      default:
        throw new Error(step.op);
    }
  };
  return {
    async start() {
      await script('/modules/@tensorflow/tfjs-core/dist/tf-core.min.js');
      await script(`${dist}tf-backend-wasm.min.js`);
      ({ tf } = globalThis);
      tf.wasm.setWasmPaths(dist);
      tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
      ({ memory: size } = await memories(async () => {
        await tf.setBackend('wasm');
        await tf.ready();
      }));
    },
    async load(model) {
      const listing = await (await fetch(`${MODELS}/${model}/tfjs.json`)).json();
      const { buffer } = await bytes(`${MODELS}/${model}/tfjs.bin`);
      const start = performance.now();
      const tensor = (part) =>
        part &&
        tf.tensor(
          new Float32Array(
            buffer,
            part.at,
            part.shape.reduce((a, b) => a * b, 1),
          ),
          part.shape,
        );
      steps = listing.map((step) => ({ ...step, weight: tensor(step.weight), bias: tensor(step.bias) }));
      await this.run();
      return performance.now() - start;
    },
    async run() {
      const start = performance.now();
      const result = tf.tidy(() => {
        const values = [tf.tensor4d(nhwc, [1, SIDE, SIDE, 3])];
        for (const step of steps)
          values.push(
            run(
              step,
              step.inputs.map((at) => values[at]),
            ),
          );
        return values.at(-1);
      });
      const scores = result.dataSync().slice();
      result.dispose();
      return { scores, milliseconds: performance.now() - start };
    },
    memory: () => size(),
  };
}

/** @type {Record<string, () => Engine>} */
export const ENGINES = {
  whylens: () => whylens('run', false),
  'whylens + heatmap': () => whylens('run', true),
  'whylens relaxed': () => whylens('run-relaxed', false),
  'whylens relaxed + heatmap': () => whylens('run-relaxed', true),
  'onnxruntime-web': onnxruntime,
  'LiteRT.js': litert,
  tfjs,
};
