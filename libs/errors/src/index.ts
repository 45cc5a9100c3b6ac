export { CoralError, toCoralError, type ErrorDetails } from './coral-error.js';
export {
  errorKinds,
  exitCodeFor,
  grpcCodeFor,
  httpStatusFor,
  kindFromGrpcCode,
  type ErrorKind,
} from './error-table.js';
