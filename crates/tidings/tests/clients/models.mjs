// What the clients of models are made to ask.

export const model = process.env.MODEL;

export const prompt = 'Say something.';

/** More tokens than a test waits for. */
export const long = 30_000;

export const tool = {
  name: 'switch_light',
  description: 'Switches the light.',
  parameters: {
    type: 'object',
    properties: { state: { type: 'string', enum: ['on', 'off'] } },
    required: ['state'],
    additionalProperties: false,
  },
};
