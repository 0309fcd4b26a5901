/** `npm run package`: builds for production and makes the .vsix. */
import { build } from './lib/build.mjs';
import { ensureDependencies } from './lib/dependencies.mjs';
import { main, say } from './lib/say.mjs';
import { makeVsix } from './lib/vsix.mjs';

await main(async () => {
  await ensureDependencies();
  await build({ production: true });
  say('packaging');
  const vsix = await makeVsix();
  say(`install it with: code --install-extension ${vsix}`);
});
