// words of the dialogs: an address, the settings, the model

/** @typedef {typeof en} DialogWords */

const en = {
  address: {
    title: 'Photo from an address',
    label: 'Address of a picture',
    go: 'Fetch',
    note: 'Your browser fetches the picture from that site; the site must allow it (CORS).',
    failed: 'That site does not let other pages read the picture, or there is none. Save the picture and drop it here.',
  },
  settings: {
    language: 'Language',
    browser: 'Same as the browser',
    theme: 'Appearance',
    given: 'As set by this page',
    preload: 'Load the model',
    preloadNote: 'Before the first photo, or with it',
    preloads: { auto: 'When it makes sense', eager: 'At once', lazy: 'With the first photo' },
    heatmap: 'Heatmaps',
    heatmapNote: 'Without them the model needs less memory',
    on: 'On',
    off: 'Off',
    memory: 'Memory limit in MB',
    memoryNote: 'A model that needs more is not loaded',
    build: 'Build',
    buildNote: 'Which processor instructions are used',
    builds: { auto: 'The fastest that runs', simd128: 'SIMD', 'relaxed-simd': 'Relaxed SIMD' },
  },
  model: {
    name: 'Name',
    size: 'Size',
    input: 'Input',
    classes: 'Classes',
    license: 'Licence',
    source: 'Source',
    disclaimer: 'Note',
    address: 'Address',
    other: 'Address of another model',
    otherHint: 'hf:ORG/NAME, https://…/model.onnx, models/…/',
    use: 'Use it',
    models: 'Models on this site',
    own: 'Your own model',
    ownNote:
      'An ONNX classifier, with labels.txt or model.json if you have them. ' +
      'Drop the files anywhere on the page, or choose them. They stay on this device.',
    ownChoose: 'Choose files',
    forget: 'Remove the kept model',
  },
};

/** @type {DialogWords} */
const vi = {
  address: {
    title: 'Ảnh từ một địa chỉ',
    label: 'Địa chỉ của ảnh',
    go: 'Lấy ảnh',
    note: 'Trình duyệt của bạn lấy ảnh từ trang đó; trang đó phải cho phép (CORS).',
    failed: 'Trang đó không cho trang khác lấy ảnh, hoặc không có ảnh. Hãy lưu ảnh rồi thả vào đây.',
  },
  settings: {
    language: 'Ngôn ngữ',
    browser: 'Theo trình duyệt',
    theme: 'Giao diện',
    given: 'Theo trang này',
    preload: 'Tải mô hình',
    preloadNote: 'Trước ảnh đầu tiên, hoặc cùng lúc với nó',
    preloads: { auto: 'Khi hợp lý', eager: 'Ngay lập tức', lazy: 'Khi có ảnh đầu tiên' },
    heatmap: 'Bản đồ nhiệt',
    heatmapNote: 'Tắt đi thì mô hình cần ít bộ nhớ hơn',
    on: 'Bật',
    off: 'Tắt',
    memory: 'Giới hạn bộ nhớ (MB)',
    memoryNote: 'Mô hình cần nhiều hơn sẽ không được tải',
    build: 'Bản dựng',
    buildNote: 'Dùng những lệnh nào của bộ xử lý',
    builds: { auto: 'Bản nhanh nhất chạy được', simd128: 'SIMD', 'relaxed-simd': 'Relaxed SIMD' },
  },
  model: {
    name: 'Tên',
    size: 'Cỡ',
    input: 'Nhìn',
    classes: 'Số lớp',
    license: 'Giấy phép',
    source: 'Nguồn',
    disclaimer: 'Ghi chú',
    address: 'Địa chỉ',
    other: 'Địa chỉ của một mô hình khác',
    otherHint: 'hf:ORG/NAME, https://…/model.onnx, models/…/',
    use: 'Dùng',
    models: 'Các mô hình của trang này',
    own: 'Mô hình của bạn',
    ownNote:
      'Một mô hình phân loại ONNX, kèm labels.txt hoặc model.json nếu có. ' +
      'Thả các tệp vào trang, hoặc chọn chúng. Chúng ở lại trên thiết bị này.',
    ownChoose: 'Chọn tệp',
    forget: 'Xóa mô hình đã giữ',
  },
};

/** @type {Record<string, DialogWords>} */
const all = { en, vi };

/** @param {string} code @returns {DialogWords} */
export const dialogWords = (code) => all[code] ?? en;
