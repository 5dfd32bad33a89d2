// size → a canvas to draw on

/**
 * @param {number} width
 * @param {number} height
 * @param {CanvasRenderingContext2DSettings} [settings]
 */
export function canvas(width, height, settings) {
  const pen = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d', settings);
  if (!pen) throw new Error(`no canvas of ${width} × ${height} pixels can be had`);
  return pen;
}
