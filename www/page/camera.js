// camera → frames, the newest only
import { PageError } from './trouble.js';

/** @typedef {Awaited<ReturnType<typeof openCamera>>} Camera */
/** @typedef {{id: string, label: string}} Device labels are empty until the reader allows a camera */
/** @typedef {'on' | 'muted' | 'hidden' | 'black' | 'ended'} CameraState `black`: on, but the picture shows nothing */

/** Level of 255 that the brightest of 16 × 16 parts of a picture has, unless it is black. */
const BLACK = 10;

/** Animation frames that the video may take to come into the document. */
const MOST_WAITING = 120;

/**
 * The picture starts with `play()`, once the video is in the document: iOS shows no other.
 * @param {object} options
 * @param {Device | null} options.wanted the camera used last
 * @param {boolean} options.flip whether frames are mirrored
 * @param {() => void} options.onChange its state, or the list of cameras, is another
 * @param {(error: unknown) => void} options.onEnd it stopped by itself
 */
export async function openCamera({ wanted, flip, onChange, onEnd }) {
  const video = document.createElement('video');
  for (const name of ['playsinline', 'muted', 'autoplay']) video.setAttribute(name, '');
  Object.assign(video, { muted: true, playsInline: true });
  const canvas = document.createElement('canvas');
  const probe = Object.assign(document.createElement('canvas'), { width: 16, height: 16 });
  const media = navigator.mediaDevices;
  let mirrored = flip;
  /** @type {Device[]} */
  let devices = [];
  /** @type {CameraState} */
  let state = 'on';
  let stopped = false;
  /** Ends the waiting for a frame. @type {(value?: unknown) => void} */
  let wake = () => {};
  /** @type {MediaStream | null} */
  let stream = null;

  await start(wanted);
  document.addEventListener('visibilitychange', onVisibility);
  media.addEventListener?.('devicechange', list);

  return {
    video,
    get state() {
      return state;
    },
    get devices() {
      return devices;
    },
    /** The camera in use. @returns {Device | null} */
    get device() {
      const track = stream?.getVideoTracks()[0];
      return track ? { id: track.getSettings().deviceId ?? '', label: track.label } : null;
    },
    get flip() {
      return mirrored;
    },
    set flip(on) {
      mirrored = on;
    },
    play,
    /** Another camera, or the same one again after it stopped. @param {Device | null} device */
    async choose(device) {
      await start(device);
      await play();
    },
    /** Waits for a frame that was not there before, and shows something; false once the camera is off for good. */
    async next() {
      for (;;) {
        await newFrame();
        if (stopped) return false;
        if (state !== 'on' && state !== 'black') continue;
        take();
        tell(isBlack() ? 'black' : 'on');
        if (state === 'on') return true;
      }
    },
    /** The frame that `next` waited for. */
    frame: () => createImageBitmap(canvas),
    /** @param {string} name */
    async photo(name) {
      take();
      if (!canvas.width || isBlack()) throw new PageError('camera-black', `${canvas.width} × ${canvas.height} pixels`);
      /** @type {Blob | null} */
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.95));
      if (!blob) throw new Error('the camera gave no picture');
      return new File([blob], `${name}.jpg`, { type: blob.type });
    },
    stop() {
      stopped = true;
      document.removeEventListener('visibilitychange', onVisibility);
      media.removeEventListener?.('devicechange', list);
      release();
      wake();
    },
  };

  /** @param {Device | null} device */
  async function start(device) {
    const found = device && (await known(device));
    release();
    const opened = await open(found);
    if (stopped) return opened.getTracks().forEach((track) => track.stop());
    stream = opened;
    const [track] = opened.getVideoTracks();
    track?.addEventListener('mute', () => stream === opened && tell('muted'));
    track?.addEventListener('unmute', () => stream === opened && tell('on'));
    track?.addEventListener('ended', () => {
      if (stream !== opened) return;
      tell('ended');
      onEnd(new PageError('camera-ended', `the track of ${track.label} ended`));
    });
    video.srcObject = opened;
    tell(track?.muted ? 'muted' : 'on');
    await list();
  }

  function release() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
  }

  async function play() {
    for (let waited = 0; !video.isConnected && waited < MOST_WAITING; waited += 1)
      await new Promise((resolve) => requestAnimationFrame(resolve));
    // A newer stream, or the end, interrupts the older one's start.
    await video.play().catch((error) => {
      if (!stopped && error.name !== 'AbortError') throw new PageError('no-camera', error);
    });
  }

  /** A page that nobody sees, as on a locked phone, does not keep the camera on. */
  async function onVisibility() {
    if (stopped || state === 'ended') return;
    if (document.hidden) {
      const [track] = stream?.getVideoTracks() ?? [];
      if (track) wanted = { id: track.getSettings().deviceId ?? '', label: track.label };
      release();
      return tell('hidden');
    }
    try {
      await start(wanted);
      await play();
    } catch (error) {
      tell('ended');
      onEnd(error);
    }
  }

  async function list() {
    const all = (await media.enumerateDevices?.().catch(() => [])) ?? [];
    devices = all
      .filter(({ kind, deviceId }) => kind === 'videoinput' && deviceId)
      .map(({ deviceId, label }) => ({ id: deviceId, label }));
    onChange();
  }

  /** Browsers give cameras new ids from time to time; their labels stay. @param {Device} device */
  async function known(device) {
    await list();
    return (
      devices.find(({ id }) => id === device.id) ??
      devices.find(({ label }) => label && label === device.label) ??
      // Without permission there are no labels to compare.
      (devices.some(({ label }) => label) ? null : device)
    );
  }

  /** @param {CameraState} now */
  function tell(now) {
    if (now === state) return;
    state = now;
    onChange();
  }

  function newFrame() {
    return new Promise((resolve) => {
      wake = resolve;
      if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(resolve);
      else requestAnimationFrame(resolve);
    });
  }

  /** Takes the frame that is shown, mirrored where that is wanted. */
  function take() {
    const ready = video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    Object.assign(canvas, { width: ready ? video.videoWidth : 0, height: ready ? video.videoHeight : 0 });
    const pen = canvas.getContext('2d');
    if (mirrored) pen?.setTransform(-1, 0, 0, 1, canvas.width, 0);
    if (canvas.width) pen?.drawImage(video, 0, 0);
  }

  /** Before the first frame, with a covered lens, or where the device hides the picture. */
  function isBlack() {
    const pen = probe.getContext('2d', { willReadFrequently: true });
    if (!canvas.width || !pen) return true;
    pen.drawImage(canvas, 0, 0, probe.width, probe.height);
    const { data } = pen.getImageData(0, 0, probe.width, probe.height);
    return data.every((level, at) => at % 4 === 3 || level < BLACK);
  }
}

/** @param {Device | null} device @returns {Promise<MediaStream>} */
async function open(device) {
  const size = { width: { ideal: 1280 } };
  const usual = { ...size, facingMode: 'environment' };
  try {
    if (!device?.id) return await navigator.mediaDevices.getUserMedia({ video: usual, audio: false });
    const exact = { ...size, deviceId: { exact: device.id } };
    return await navigator.mediaDevices.getUserMedia({ video: exact, audio: false }).catch((error) => {
      if (!['OverconstrainedError', 'NotFoundError'].includes(error.name)) throw error;
      return navigator.mediaDevices.getUserMedia({ video: usual, audio: false });
    });
  } catch (cause) {
    const busy = cause instanceof Error && cause.name === 'NotReadableError';
    throw new PageError(busy ? 'camera-busy' : 'no-camera', cause);
  }
}
