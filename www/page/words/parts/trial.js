// words of the trial: the brush on the photo, and what the model makes of it

/** @typedef {typeof en} TrialWords */

const en = {
  title: 'Try it yourself',
  hint: 'Brush over the photo and watch the values.',
  keys: 'Keys: arrows move the window, + and − change its size, Enter brushes what it covers.',
  values: 'Values while you brush',
  fill: 'How it is hidden',
  fills: { cover: 'Cover', blur: 'Blur' },
  mode: 'What the brush does',
  modes: { hide: 'Hide what I brush', keep: 'Keep only that' },
  size: 'Brush',
  map: 'Show the heatmap',
  most: {
    /** @param {string} share */
    hide: (share) => `Hide the ${share} that the map marks most`,
    /** @param {string} share */
    keep: (share) => `Keep the ${share} that the map marks most`,
  },
  undo: 'Undo',
  redo: 'Redo',
  reset: 'Start over',
  /** @param {string} side @param {string} x @param {string} y */
  place: (side, x, y) => `Brush window, ${side} wide, ${x} from the left, ${y} from the top`,
  /** @param {string} before @param {string} now */
  change: (before, now) => `from ${before} to ${now}`,
  /** @param {string} label @param {string} value */
  first: (label, value) => `First now: ${label}, ${value}`,
  untouched: 'The photo is whole.',
};

/** @type {TrialWords} */
const vi = {
  title: 'Tự tay thử',
  hint: 'Tô lên ảnh và xem các giá trị thay đổi.',
  keys: 'Bàn phím: phím mũi tên di chuyển ô vuông, + và − đổi cỡ ô, Enter để tô phần ảnh trong ô.',
  values: 'Giá trị trong khi tô',
  fill: 'Cách che',
  fills: { cover: 'Che kín', blur: 'Làm mờ' },
  mode: 'Cọ dùng để',
  modes: { hide: 'Che chỗ tô', keep: 'Chỉ giữ chỗ tô' },
  size: 'Cỡ cọ',
  map: 'Hiện bản đồ nhiệt',
  most: {
    hide: (share) => `Che ${share} được bản đồ đánh dấu mạnh nhất`,
    keep: (share) => `Giữ ${share} được bản đồ đánh dấu mạnh nhất`,
  },
  undo: 'Hoàn tác',
  redo: 'Làm lại',
  reset: 'Làm từ đầu',
  place: (side, x, y) => `Ô tô rộng ${side}, cách mép trái ${x}, cách mép trên ${y}`,
  change: (before, now) => `từ ${before} thành ${now}`,
  first: (label, value) => `Giờ đứng đầu: ${label}, ${value}`,
  untouched: 'Ảnh còn nguyên vẹn.',
};

/** @type {Record<string, TrialWords>} */
const all = { en, vi };

/** @param {string} code @returns {TrialWords} */
export const trialWords = (code) => all[code] ?? en;
