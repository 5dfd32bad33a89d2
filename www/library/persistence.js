// a wish to keep what is stored → what the browser promises

/**
 * Asks the browser not to remove by itself what this site keeps. Firefox asks the reader; others decide alone.
 * @returns {Promise<boolean | null>} null: the browser has no answer
 */
export async function persist() {
  try {
    const { storage } = navigator;
    return (await storage.persisted()) || (await storage.persist());
  } catch {
    return null;
  }
}

/** Whether it was promised before. @returns {Promise<boolean | null>} null: the browser has no answer */
export async function persisted() {
  try {
    return await navigator.storage.persisted();
  } catch {
    return null;
  }
}
