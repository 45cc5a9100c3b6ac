// Lets Node run the sources of a thread as they are: it strips the types, this finds the files.
import { enableCompileCache, registerHooks } from 'node:module';

const libs = new URL('../../../../', import.meta.url);

enableCompileCache();

registerHooks({
  resolve(specifier, context, next) {
    if (specifier.startsWith('@coral/')) {
      return next(new URL(`${specifier.slice('@coral/'.length)}/src/index.ts`, libs).href, context);
    }
    const ours = specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL?.endsWith('.ts');
    return next(ours ? specifier.replace(/\.js$/, '.ts') : specifier, context);
  },
});
