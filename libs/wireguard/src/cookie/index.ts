export { CookieChecker } from './cookie-checker.js';
export { CookieJar } from './cookie-jar.js';
export { sourceKey, type Endpoint } from './endpoint.js';
export { RateLimiter } from './rate-limiter.js';
