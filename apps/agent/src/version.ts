/** The same as in package.json; a spec compares them. */
export const agentVersion = '0.1.0';
