import { describe, expect, it } from 'vitest';
import { namesIn, readQuestion } from './question.js';

const known = ['web', 'checkout', 'checkout-worker', 'payment', 'load-balancer'];

describe('readQuestion', () => {
  it.each([
    ['Why is checkout slow?', 'checkout', 'latency'],
    ['checkout p95 went up', 'checkout', 'latency'],
    ["what's up with checkout's latency", 'checkout', 'latency'],
    ['Why is CHECKOUT failing?', 'checkout', 'errors'],
    ['payment returns 5xx', 'payment', 'errors'],
    ['is payment down?', 'payment', 'errors'],
    ['how much traffic does web get', 'web', 'traffic'],
    ['is checkout-worker broken?', 'checkout-worker', 'any'],
    ['is load-balancer healthy?', 'load-balancer', 'any'],
    ['is checkout slow because of payment errors?', 'checkout', 'latency'],
  ])('reads %j', (text, service, symptom) => {
    expect(readQuestion(text, known)).toEqual({ text, service, symptom });
  });

  it.each([
    ['Why is everything slow?', 'latency'],
    ['What is wrong with production?', 'any'],
    ['Is production healthy?', 'any'],
    ['Why is latency high?', 'latency'],
    ['anything failing?', 'errors'],
    ['', 'any'],
  ])('finds no service in %j', (text, symptom) => {
    expect(readQuestion(text, known)).toEqual({ text, symptom });
  });

  it('keeps the word that stands where an unknown service is named', () => {
    expect(readQuestion('Why is chekout slow?', known)).toMatchObject({ service: 'chekout', symptom: 'latency' });
    expect(readQuestion('errors in billing since noon', known)).toMatchObject({
      service: 'billing',
      symptom: 'errors',
    });
  });

  it('matches whole words only, and the longer of two names', () => {
    expect(namesIn('the website and the webs', known)).toEqual([]);
    expect(namesIn('payment, then checkout-worker', known)).toEqual(['payment', 'checkout-worker']);
    expect(namesIn('a.b(c', ['a.b(c', 'axb'])).toEqual(['a.b(c']);
  });
});
