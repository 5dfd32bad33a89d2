// camera → frames, the newest only

import { PageError } from './trouble.js';

/** @typedef {Awaited<ReturnType<typeof openCamera>>} Camera */

export async function openCamera() {
  const wanted = { video: { facingMode: 'environment', width: { ideal: 1280 } }, audio: false };
  const stream = await Promise.resolve()
    .then(() => navigator.mediaDevices.getUserMedia(wanted))
    .catch((cause) => {
      throw new PageError('no-camera', cause);
    });
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  await video.play();
  return {
    video,
    /** Waits for a frame that was not there before. */
    next: () =>
      new Promise((resolve) =>
        'requestVideoFrameCallback' in video
          ? video.requestVideoFrameCallback(resolve)
          : requestAnimationFrame(resolve),
      ),
    frame: () => createImageBitmap(video),
    /** @param {string} name */
    async photo(name) {
      const canvas = document.createElement('canvas');
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext('2d')?.drawImage(video, 0, 0);
      /** @type {Blob | null} */
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.95));
      if (!blob) throw new Error('the camera gave no picture');
      return new File([blob], `${name}.jpg`, { type: blob.type });
    },
    stop() {
      stream.getTracks().forEach((track) => track.stop());
      video.srcObject = null;
    },
  };
}
