import { mount } from 'svelte';
import Why from './Why.svelte';

mount(Why, { target: document.getElementById('root'), props: { model: 'models/efficientnet-lite0/' } });
