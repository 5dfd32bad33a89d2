// photo → small square on a canvas, one at a time and away from the page's thread

export function thumbnails() {
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  /**
   * @param {Blob | ImageBitmap} photo
   * @param {HTMLCanvasElement} canvas
   * @param {((photo: Blob) => Promise<ImageBitmap>) | null} decode for photos that the browser cannot show
   */
  return function draw(photo, canvas, decode) {
    last = last
      .then(() => thumbnail(photo, canvas))
      .catch(async (error) => {
        if (!decode || !(photo instanceof Blob)) throw error;
        const decoded = await decode(photo);
        await thumbnail(decoded, canvas);
        decoded.close();
      })
      .catch(() => {
        // A file that is not a picture keeps an empty square; its photo's error says why.
      });
  };
}

/** @param {Blob | ImageBitmap} photo @param {HTMLCanvasElement} canvas */
async function thumbnail(photo, canvas) {
  const side = canvas.width;
  const bitmap = await createImageBitmap(photo, { resizeHeight: Math.round(side * 1.4), resizeQuality: 'medium' });
  const scale = Math.max(side / bitmap.width, side / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas.getContext('2d')?.drawImage(bitmap, (side - width) / 2, (side - height) / 2, width, height);
  bitmap.close();
}
