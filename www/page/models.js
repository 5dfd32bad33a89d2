// the page's script tag → the models of this site
import { scriptAttribute } from '../library/policy.js';

/** Their addresses; `whylens dist` names them. */
export const MODELS = scriptAttribute('data-models')?.split(' ') ?? ['models/efficientnet-lite0/'];
