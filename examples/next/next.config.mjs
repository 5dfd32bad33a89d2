/** @type {import('next').NextConfig} */
export default {
  // A folder of files for any host, out/. Whylens needs no server.
  output: 'export',
};
