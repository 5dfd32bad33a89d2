// the page's words in English

/** @param {number} n */
const photos = (n) => (n === 1 ? '1 photo' : `${n} photos`);

export const words = {
  code: 'en',
  name: 'English',
  /** Of the site's owner, by language.js. @type {{title: string | null, disclaimer: string | null}} */
  site: { title: null, disclaimer: null },
  skip: 'Skip to the photo',
  title: 'See what a classifier sees.',
  lead:
    'Add a photo. It is classified on this device, and a heatmap shows which parts of it decided. ' +
    'The photo never leaves this page.',
  choose: 'Choose photos',
  chooseFolder: 'Folder',
  camera: 'Camera',
  paste: 'Paste',
  address: 'Link',
  dropHere: 'or drop photos anywhere',
  /** @param {string} what */
  arriving: (what) => `Reading ${what} …`,
  letGo: 'Let go to classify',
  samples: 'Or try one of these',
  /** @type {Record<string, string>} */
  sampleNames: { astronaut: 'Astronaut', chelsea: 'Chelsea the cat', coffee: 'Coffee', rocket: 'Rocket' },

  loading: {
    idle: 'The model loads with the first photo',
    start: 'Starting',
    /** @param {string} loaded @param {string} total @param {string} seconds */
    download: (loaded, total, seconds) => `Downloading ${loaded} of ${total} · ${seconds}`,
    /** @param {string} seconds */
    prepare: (seconds) => `Preparing the model · ${seconds}`,
    failed: 'The model is not loaded',
    /** @param {string[]} facts */
    ready: (facts) => ['Ready', ...facts].join(' · '),
    progress: 'Loading the model',
  },
  cancel: 'Cancel',
  retry: 'Try again',
  /** @param {string} bytes */
  useAnyway: (bytes) => `Needs ${bytes}: use it anyway`,
  load: 'Load now',
  close: 'Close',
  /** @param {string} model */
  aboutModel: (model) => `Model: ${model}`,
  model: 'Model',
  settings: 'Settings',
  theme: { light: 'Light', dark: 'Dark', system: 'Same as the system' },
  switchTheme: 'Switch between light and dark',

  working: 'Looking …',
  waitingForModel: 'This photo is next, as soon as the model is ready.',
  /** @param {string} label */
  heatmapOf: (label) => `Heatmap for “${label}”`,
  cannotShow: 'This file cannot be shown.',
  part: {
    choose: 'Choose a part',
    done: 'Done',
    all: 'Whole photo',
    hint: 'Draw a frame on the photo, or move it. Keys: arrows move it, with Shift they resize it.',
    /** @param {number} x @param {number} y @param {number} width @param {number} height */
    place: (x, y, width, height) => `Part that is classified: ${width} × ${height} pixels at ${x}, ${y}`,
  },
  tryIt: 'Try it yourself',
  tried: 'Put the brush away',
  modelSees: 'The model sees what is inside the frame',
  opacity: 'Heatmap',
  hold: 'Hold to see the photo',
  colours: 'Colours',
  colourNames: {
    inferno: 'Inferno',
    viridis: 'Viridis',
    magma: 'Magma',
    plasma: 'Plasma',
    cividis: 'Cividis',
    turbo: 'Turbo',
    grey: 'Grey',
  },
  less: 'little evidence',
  more: 'most',
  twoColours: 'Blue to orange',
  speaking: { title: 'Show what speaks', for: 'for', against: 'against', both: 'both' },
  moving: { title: 'Show what', for: 'raises it', against: 'lowers it', both: 'both' },
  /** @param {string} method */
  oneSided: (method) => `${method} does not tell what speaks for a class from what speaks against it.`,
  question: 'Question',
  questions: {
    /** @param {string} label */
    one: (label) => `Why “${label}”?`,
    alike: 'Why not a similar class?',
    each: 'Why each of the two?',
    /** @param {string} a @param {string} b */
    other: (a, b) => `Why “${a}” and not “${b}”?`,
  },
  check: {
    start: 'Check this map',
    /** Of two maps. */
    both: 'Check these maps',
    cancel: 'Cancel the check',
    more: 'Check more thoroughly',
    against: 'A map of what speaks against a class cannot be checked; one of both sides can.',
  },
  method: 'Method',
  layer: 'Layer',
  methods: {
    scorecam: 'Score-CAM (very slow)',
    ablationcam: 'Ablation-CAM (slow)',
    occlusion: 'Occlusion (slow)',
    rise: 'RISE (very slow)',
    integratedgradients: 'Integrated gradients (slow)',
  },
  /** @param {number} done @param {number} all 0 where there are no steps */
  explaining: (done, all) => (all ? `Explaining · ${done} of ${all}` : 'Explaining …'),
  /** @param {number} width @param {number} height @param {number} channels */
  layerSize: (width, height, channels) => `${width} × ${height}, ${channels} channels`,
  allLayers: 'All of these, averaged',
  noGradients: 'This model cannot be differentiated here, so heatmaps use methods that need no gradient.',

  sure: {
    high: 'Quite sure',
    good: 'Probably',
    torn: 'Torn between two classes',
    low: 'Perhaps',
    none: 'Not sure: a guess at best',
    scores: 'Highest score',
    number: 'The model’s estimate',
    labels: 'Above the threshold',
    below: 'Below the threshold',
    nothing: 'Nothing above the threshold',
    unrecognised: 'Not recognised',
  },
  /** @param {string} p */
  sureHigh: (p) => `The model gives it ${p}.`,
  /** @param {string[]} ps */
  sureEach: (ps) =>
    ps.length === 1
      ? `The model gives it ${ps[0]}.`
      : `The model gives them ${ps.slice(0, -1).join(', ')} and ${ps.at(-1)}.`,
  /** @param {string} label @param {string} p */
  sureNearest: (label, p) => `The highest is “${label}” at ${p}.`,
  /** @param {string} p @param {string} second @param {string} q */
  sureTorn: (p, second, q) => `${p}, with “${second}” close behind at ${q}.`,
  /** @param {string} p @param {string} rest */
  sureNone: (p, rest) => `It gives this only ${p} and spreads the other ${rest} over many classes. Do not rely on it.`,
  /** @param {number} n */
  search: (n) => `Search ${n} classes`,
  /** @param {number} n */
  matches: (n) => (n === 0 ? 'No class with this name' : n === 1 ? '1 class' : `${n} classes`),
  moreClasses: 'Show ten',
  fewerClasses: 'Show five',
  showClass: 'Show its heatmap',
  /** @param {string} label */
  compareWith: (label) => `Compare with “${label}”`,
  stopComparing: 'Stop comparing',
  threshold: 'Threshold',
  unlisted: 'below those listed',
  raises: 'What raises it',
  lowers: 'What lowers it',
  moves: 'What raises and lowers it',
  /** What a heatmap is of, where that is not the class alone. */
  of: {
    /** @param {string} label */
    against: (label) => `Against: ${label}`,
    /** @param {string} label */
    both: (label) => `For and against: ${label}`,
    /** @param {string} a @param {string} b */
    other: (a, b) => `${a}, not ${b}`,
    /** @param {string} label */
    alike: (label) => `${label}, not similar classes`,
  },

  where: {
    /** @param {string} label */
    title: (label) => `Evidence for “${label}”`,
    /** @param {string} label */
    against: (label) => `Evidence against “${label}”`,
    /** @param {string} label */
    both: (label) => `Evidence for and against “${label}”`,
    /** @param {string} pro @param {string} contra sentences */
    sides: (pro, contra) => `For: ${pro} Against: ${contra}`,
    nothing: 'nothing.',
    /** @param {string[]} labels */
    compared: (labels) => {
      const quoted = labels.map((label) => `“${label}”`).join(', ');
      return `Compared with ${quoted.replace(/, (?=[^,]*$)/, ' and ')}.`;
    },
    /** @param {string} place */
    spot: (place) => `The evidence is one spot ${place}.`,
    /** @param {number} spots @param {string} place */
    spots: (spots, place) => `The evidence is in ${spots} separate spots, with its centre ${place}.`,
    /** @param {string} place */
    everywhere: (place) => `The evidence is almost everywhere, with its centre ${place}.`,
    /** @param {string} share */
    half: (share) => `Half of it falls on ${share} of what the model sees.`,
    /** @param {string[]} edges */
    border: (edges) =>
      edges.length === 1
        ? `It touches the ${edges[0]} edge of what the model sees: the model may be missing something beyond it.`
        : edges.length < 4
          ? `It touches the ${edges.slice(0, -1).join(', ')} and ${edges.at(-1)} edges of what the model sees: ` +
            'the model may be missing something beyond them.'
          : 'It touches every edge of what the model sees: the model may be missing something beyond them.',
    edges: { top: 'top', right: 'right', bottom: 'bottom', left: 'left' },
    /** @param {string} label */
    zero: (label) => `Nothing in this photo speaks for “${label}”. There is no heatmap to draw.`,
    /** @param {string} label */
    zeroAgainst: (label) => `Nothing in this photo speaks against “${label}”. There is no heatmap to draw.`,
    /** @param {string} label */
    zeroBoth: (label) => `Nothing in this photo speaks for or against “${label}”. There is no heatmap to draw.`,
    unmoved: 'Nothing in this photo moves the number this way. There is no heatmap to draw.',
    places: [
      [
        'in the top left corner',
        'near the top edge, left of the middle',
        'near the top edge',
        'near the top edge, right of the middle',
        'in the top right corner',
      ],
      [
        'near the left edge, above the middle',
        'above and to the left of the middle',
        'above the middle',
        'above and to the right of the middle',
        'near the right edge, above the middle',
      ],
      ['near the left edge', 'left of the middle', 'in the middle', 'right of the middle', 'near the right edge'],
      [
        'near the left edge, below the middle',
        'below and to the left of the middle',
        'below the middle',
        'below and to the right of the middle',
        'near the right edge, below the middle',
      ],
      [
        'in the bottom left corner',
        'near the bottom edge, left of the middle',
        'near the bottom edge',
        'near the bottom edge, right of the middle',
        'in the bottom right corner',
      ],
    ],
    /** @param {string} a @param {string} b @param {string} share */
    overlap: (a, b, share) => `“${a}” and “${b}” share ${share} of their evidence`,
    same: 'The model looks at the same place for both.',
    partly: 'It looks partly at the same place.',
    apart: 'It looks at different places.',
  },
  readByBrowser: 'The file is damaged. This is what your browser makes of it; another may show it differently.',
  noHeatmaps: 'Heatmaps are switched off in the settings.',
  /** @param {string} reason */
  noHeatmap: (reason) => `There is no heatmap: ${reason}.`,

  times: {
    title: 'Time',
    decode: 'read',
    preprocess: 'resize',
    inference: 'classify',
    heatmap: 'explain',
    total: 'total',
  },
  milliseconds: 'ms',

  savePicture: 'Save picture',
  copyPicture: 'Copy picture',
  saveReport: 'Save report',
  saveResult: 'Result (JSON)',
  saveMap: 'Raw map (NPY)',
  copied: 'Copied',
  cannotCopy: 'This browser does not allow copying pictures. Save it instead.',

  sheet: {
    title: 'Contact sheet',
    photos,
    /** @param {number} done @param {number} all */
    progress: (done, all) => `${done} of ${all} classified`,
    sort: 'Sort',
    sorts: {
      added: 'As added',
      sure: 'Most sure first',
      unsure: 'Least sure first',
      label: 'By class',
      name: 'By name',
    },
    filter: 'Show',
    all: 'All classes',
    failedOnly: 'Failed',
    csv: 'CSV',
    json: 'JSON',
    report: 'Report',
    /** @param {number} done @param {number} all */
    reporting: (done, all) => `Report: ${done} of ${all} photos`,
    checkAll: 'Check all maps',
    stopChecking: 'Stop checking',
    /** @param {number} done @param {number} all */
    checked: (done, all) => `${done} of ${all} maps checked`,
    checks: { better: 'map better than chance', chance: 'map no better than chance', worse: 'map worse than chance' },
    clear: 'Clear',
    resume: 'Continue',
    done: '',
    waiting: 'waiting',
    working: 'looking',
    failed: 'failed',
    cancelled: 'skipped',
  },

  cameraView: {
    title: 'Camera',
    take: 'Take photo',
    live: 'Classify live',
    stop: 'Stop',
    flip: 'Mirror',
    device: 'Camera',
    states: {
      muted: 'The device or another program holds the camera back. It goes on when the picture returns.',
      hidden: 'The camera is off while this page is hidden.',
      black: 'The picture is black, so it is not classified. Is the lens covered?',
      ended: 'The camera has stopped.',
    },
  },

  offer: {
    title: 'Use this?',
    take: 'Yes, use it',
    leave: 'No',
    /** @param {number} n */
    photos: (n) =>
      `${n === 1 ? 'A photo was' : `${n} photos were`} shared with this page. Classify ${n === 1 ? 'it' : 'them'}?`,
    model: 'A model was shared with this page. Use it instead of the current one?',
    /** @param {string} host */
    elsewhere: (host) =>
      `This link names a model on another site, ${host}. Whoever made the model decides what it says. Use it?`,
  },

  footer: 'Nothing is uploaded: the model runs in this page.',
  licences: 'Licences',

  errors: {
    /** @type {Record<string, [string, string]>} */
    known: {
      network: ['The connection failed.', 'Check that you are online, then try again.'],
      'http-status': ['The server did not send the file.', 'Check the address of the model, or try again later.'],
      'not-a-model': [
        'This file is not an ONNX model.',
        'Check what the server sends: it may be a web page or a Git LFS pointer.',
      ],
      truncated: ['The file ended too early.', 'Try again: the next download starts from the beginning.'],
      integrity: [
        'The model does not match its description.',
        'Try again. If that does not help, only part of the model folder was replaced.',
      ],
      'external-data': [
        'This model keeps its weights in another file.',
        'Save it as one file (ONNX without external data) and add it again.',
      ],
      'unsupported-operator': [
        'This model uses an operation that is not supported.',
        'See the details, and export the model with simpler operations.',
      ],
      'unsupported-model': [
        'This model cannot be used here.',
        'It has to be a classifier with one image as input. The details say what is different.',
      ],
      'bad-manifest': ['The description of the model (model.json) is wrong.', 'The details name the field to correct.'],
      'over-memory-limit': [
        'The model needs more memory than is allowed.',
        'Close what else needs memory and use it anyway, or raise the limit in the settings.',
      ],
      'out-of-memory': ['The device ran out of memory.', 'Close other tabs, or use a smaller photo, then try again.'],
      'image-format': ['This file cannot be read as a picture.', 'Use a JPEG, PNG, WebP, GIF or BMP file.'],
      'image-corrupt': ['The picture is damaged.', 'It may have been cut short on its way here. Try another copy.'],
      'image-too-large': [
        'The picture is too large.',
        'Make it smaller first: 64 megapixels can be read. Save a drawing (SVG) as PNG.',
      ],
      'bad-option': ['That cannot be done with this photo.', 'The details say why.'],
      cancelled: ['Stopped.', 'Try again at any time.'],
      disposed: ['The model was released.', 'Load it again.'],
      'worker-crashed': ['The classifier stopped unexpectedly.', 'Try again: it restarts without another download.'],
      'unsupported-browser': [
        'This browser lacks or forbids something that the classifier needs.',
        'The details say what. An up-to-date browser without Lockdown Mode or enhanced security has all of it.',
      ],
      'insecure-address': [
        'That address is not encrypted (http://), so this page may not read it.',
        'Use the address with https://. If there is none, download the files yourself, then drop them here.',
      ],
      forbidden: [
        'The other site does not let this page have the model.',
        'Download its files yourself, then drop them here.',
      ],
    },
    /** @type {Record<string, [string, string]>} */
    page: {
      'closed-site': [
        'This site takes no models from other sites.',
        'Download the files of the model yourself, then drop them here.',
      ],
      'report-too-large': [
        'A report holds up to 1,000 photos.',
        'Choose fewer by the filter, or save the table (CSV).',
      ],
      'too-many-files': ['There are too many files at once.', 'Up to 20,000 are read: take a part of them.'],
      'no-photos': ['There is no photo among these files.', 'Choose JPEG, PNG, WebP, GIF, BMP or TIFF files.'],
      'zip-too-large': ['The photos in this zip are too large together.', 'Unpack it, and choose some of them.'],
      'zip-unread': ['This zip cannot be read here.', 'Unpack it, and drop the folder.'],
      'address-shut': [
        'That site does not let other pages read the picture.',
        'Save the picture on your device, then drop the file here.',
      ],
      'address-empty': [
        'There is no picture at this address.',
        'Open the picture alone in a tab and use that address, or save it and drop the file here.',
      ],
      'no-classifier': [
        'This model cannot be used here.',
        'It has to be an ONNX classifier that takes one picture and gives one list of scores.',
      ],
      'kept-damaged': [
        'The model that was kept on this device is damaged.',
        'It was removed: add its files again, or choose another model.',
      ],
      'no-labels': [
        'The names of the classes are missing.',
        'Add labels.txt, one label per line, and choose both files together.',
      ],
      'bad-model-json': ['This model.json cannot be read.', 'The details say where it goes wrong.'],
      'no-camera': ['No camera can be used here.', 'Allow it in the browser’s address bar, or choose a photo instead.'],
      'camera-busy': ['Another program uses the camera.', 'Close that program, then try again.'],
      'camera-ended': [
        'The camera has stopped.',
        'It was unplugged, or may not be used any more. Plug it in or allow it, then try again.',
      ],
      'camera-black': ['The camera’s picture is black.', 'Uncover the lens, or choose another camera.'],
      'no-clipboard': ['The clipboard cannot be read.', 'Allow it, or press Ctrl+V (⌘V) on this page.'],
      'nothing-to-paste': ['There is no picture on the clipboard.', 'Copy one, or its address, and paste again.'],
    },
    /** @type {[string, string]} */
    unknown: ['Something went wrong.', 'Try again. If it happens again, the details help to find the cause.'],
    details: 'Details',
    dismiss: 'Dismiss',
  },
};

/** @typedef {typeof words} Words */
