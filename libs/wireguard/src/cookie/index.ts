export { CookieChecker } from './cookie-checker.js';
export { CookieJar } from './cookie-jar.js';
export { sourceKey, type Endpoint } from './endpoint.js';
export { mac } from './macs.js';
export { RateLimiter, RATE_LIMITED_SOURCES, type RateLimits } from './rate-limiter.js';
