import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  // The development server must leave the package as it is, for it finds its worker by its own address.
  optimizeDeps: { exclude: ['whylens'] },
});
