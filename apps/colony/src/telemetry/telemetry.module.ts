import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { TelemetryStore } from '@coral/telemetry-store';
import { TelemetryController } from './telemetry.controller.js';
import { TelemetryIntake, type IntakeDeps } from './telemetry-intake.js';

/** Wires the store, opened and closed by main, to its door. */
@Module({})
export class TelemetryModule {
  static forStore(deps: IntakeDeps): DynamicModule {
    return {
      module: TelemetryModule,
      controllers: [TelemetryController],
      providers: [
        { provide: TelemetryStore, useValue: deps.store },
        { provide: TelemetryIntake, useFactory: () => new TelemetryIntake(deps) },
      ],
      exports: [TelemetryStore, TelemetryIntake],
    };
  }
}
