using System.Runtime.InteropServices;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Engine;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// <c>POST /v1/embeddings</c>, and Ollama's <c>POST /api/embed</c> and <c>POST /api/embeddings</c>: the pooled final hidden states of texts,
/// scaled to length 1.
/// </summary>
internal sealed class Embeddings(Models models, OllamaModels ollama)
{
    private const string Lack = "answers chats, and makes no embeddings";

    /// <summary>Answers as the OpenAI API does.</summary>
    public async Task OpenAiAsync(HttpContext context)
    {
        EmbeddingRequest request = await ReadAsync(context, EmbeddingRequest.ReadOpenAi);
        ModelVariant variant = models.FindOwn(request.Model, Lack);
        float[][] vectors = await ComputeAsync(context, request, variant);
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, (vectors, request, variant, Usage: RequestMeter.Of(context).Usage), static (writer, answer) =>
        {
            writer.WriteStartObject();
            writer.WriteString("object"u8, "list"u8);
            writer.WriteStartArray("data"u8);
            for (int i = 0; i < answer.vectors.Length; i++)
            {
                writer.WriteStartObject();
                writer.WriteString("object"u8, "embedding"u8);
                writer.WriteNumber("index"u8, i);
                writer.WritePropertyName("embedding"u8);
                if (answer.request.InBase64)
                    writer.WriteBase64StringValue(MemoryMarshal.AsBytes<float>(answer.vectors[i]));
                else
                    WriteNumbers(writer, answer.vectors[i]);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
            writer.WriteString("model"u8, answer.variant.Name);
            writer.WriteStartObject("usage"u8);
            writer.WriteNumber("prompt_tokens"u8, answer.Usage.PromptTokens);
            writer.WriteNumber("total_tokens"u8, answer.Usage.PromptTokens);
            writer.WriteEndObject();
            writer.WriteEndObject();
        });
    }

    /// <summary>Answers as Ollama does.</summary>
    public async Task OllamaAsync(HttpContext context)
    {
        EmbeddingRequest request = await ReadAsync(context, EmbeddingRequest.ReadOllama);
        float[][] vectors = await ComputeAsync(context, request, Own(request.Model));
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, (vectors, request, Meter: RequestMeter.Of(context)), static (writer, answer) =>
        {
            writer.WriteStartObject();
            writer.WriteString("model"u8, answer.request.Model);
            writer.WriteStartArray("embeddings"u8);
            foreach (float[] vector in answer.vectors)
                WriteNumbers(writer, vector);
            writer.WriteEndArray();
            writer.WriteNumber("total_duration"u8, (long)answer.Meter.Times.Total.TotalNanoseconds);
            writer.WriteNumber("load_duration"u8, 0);
            writer.WriteNumber("prompt_eval_count"u8, answer.Meter.Usage.PromptTokens);
            writer.WriteEndObject();
        });
    }

    /// <summary>Answers as Ollama did before: one prompt, one embedding.</summary>
    public async Task OllamaPromptAsync(HttpContext context)
    {
        EmbeddingRequest request = await ReadAsync(context, EmbeddingRequest.ReadOllamaPrompt);
        float[][] vectors = await ComputeAsync(context, request, Own(request.Model));
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, vectors, static (writer, vectors) =>
        {
            writer.WriteStartObject();
            writer.WritePropertyName("embedding"u8);
            WriteNumbers(writer, vectors.Length == 0 ? [] : vectors[0]);
            writer.WriteEndObject();
        });
    }

    private ModelVariant Own(string name) => ollama.Find(name).Model as ModelVariant ?? throw Models.NotUpstream(name, "model", Lack);

    private static async Task<EmbeddingRequest> ReadAsync(HttpContext context, Func<JsonElement, EmbeddingRequest> read)
    {
        using JsonDocument body = await RequestBody.ReadAsync(context.Request, context.RequestAborted);
        return read(body.RootElement);
    }

    private static async Task<float[][]> ComputeAsync(HttpContext context, EmbeddingRequest request, ModelVariant variant)
    {
        var meter = RequestMeter.Of(context);
        ServedModel model = variant.Model;
        meter.SetModel(variant.Name);
        if (request.Dimensions > model.Model.Config.EmbeddingLength)
            throw ApiException.Invalid("dimensions", "integer_above_max_value", $"Invalid 'dimensions': the embeddings of '{variant.Name}' have {model.Model.Config.EmbeddingLength} numbers, of which {request.Dimensions} were asked for.");
        PromptPooling pooling = request.Pooling ?? model.Pooling ?? throw ApiException.Invalid("pooling", "invalid_value", $"The model '{variant.Name}' is made for another pooling than this server has; ask for 'pooling' 'mean' or 'last'.");
        foreach (CompletionPrompt input in request.Inputs)
            Generation.CheckTokens(model, input.Tokens ?? [], request.Field);
        IReadOnlyList<CompletionPrompt> inputs = InputPolicy.Apply(request.Inputs, request.Field, ids => model.Tokenizer.Decode(ids), meter);
        int[][] prompts = [.. inputs.Select(input => Encode(model, input, request))];
        if (prompts.Length > 0)
            await meter.ReserveAsync(variant, prompts.Sum(ids => (long)ids.Length), outputTokens: 0, choices: 1, isElastic: false);
        float[][] vectors = await RunAsync(prompts, variant, pooling, meter, context.RequestAborted);
        vectors = [.. vectors.Select(vector => Normalize(vector, request.Dimensions ?? vector.Length))];
        await meter.SettleAsync(StatusCodes.Status200OK, prompts.Length == 0 ? "load" : "stop");
        return vectors;
    }

    private static int[] Encode(ServedModel model, CompletionPrompt input, EmbeddingRequest request)
    {
        int[] ids = input.Tokens ?? (input.Text!.Length == 0 ? [] : model.Tokenizer.Encode(input.Text, addSpecial: true, parseSpecial: false));
        if (ids.Length == 0)
            throw ApiException.Invalid(request.Field, "invalid_value", $"Invalid '{request.Field}': an input has at least one token, and a text at least one character.");
        if (ids.Length <= model.ContextLength || !request.Truncates)
            return ids;
        bool ends = input.Tokens is null && model.Tokenizer.AddEos;
        return ends ? [.. ids[..(model.ContextLength - 1)], ids[^1]] : ids[..model.ContextLength];
    }

    // A window of them at a time, so that one request leaves others their places in the queue.
    private static async Task<float[][]> RunAsync(int[][] prompts, ModelVariant variant, PromptPooling pooling, RequestMeter meter, CancellationToken cancellation)
    {
        float[][] states = new float[prompts.Length][];
        var running = new Queue<(int Index, Sequence Sequence)>();
        try
        {
            int next = 0;
            while (next < prompts.Length || running.Count > 0)
            {
                if (next < prompts.Length && running.Count < ApiLimits.MaxEmbeddingsAtOnce && Submit(prompts[next], variant, pooling, meter.Share, mayWait: running.Count > 0) is { } sequence)
                {
                    meter.Add(sequence.Samples);
                    running.Enqueue((next++, sequence));
                    continue;
                }

                (int index, Sequence first) = running.Peek();
                states[index] = await ReadAsync(first, cancellation);
                running.Dequeue();
            }

            return states;
        }
        finally
        {
            await Generation.CancelAsync([.. running.Select(one => one.Sequence)]);
        }
    }

    /// <summary>Hands a prompt to the engine.</summary>
    /// <returns>Null where the queue is full, and the request has sequences in it whose end makes room.</returns>
    private static Sequence? Submit(int[] prompt, ModelVariant variant, PromptPooling pooling, EngineShare share, bool mayWait)
    {
        try
        {
            return variant.Model.Engine.Submit(new GenerationRequest { Prompt = prompt, Adapter = variant.Adapter, MaxTokens = 0, Pooling = pooling, Share = share });
        }
        catch (FlintException full) when (full.Code == "queue_full" && mayWait)
        {
            return null;
        }
    }

    private static async Task<float[]> ReadAsync(Sequence sequence, CancellationToken cancellation)
    {
        while (await sequence.WaitAsync(cancellation))
        {
            while (sequence.TryRead(out _))
            {
            }
        }

        return sequence.FinishReason switch
        {
            FinishReason.Length => sequence.PooledState(),
            FinishReason.Cancelled => throw ApiException.Stopping(),
            _ => throw sequence.Fault ?? new FlintException(FaultSide.Bug, "no_fault", "A sequence failed without a fault."),
        };
    }

    /// <summary>The first so many numbers of a state, scaled to length 1.</summary>
    private static float[] Normalize(float[] state, int length)
    {
        double square = 0;
        foreach (float value in state.AsSpan(0, length))
            square += (double)value * value;
        if (!double.IsFinite(square) || square == 0)
            throw FlintException.File("embedding_length", $"The model's hidden state has the length {Math.Sqrt(square)}, which nothing can be scaled to; expected a finite one above 0.");
        double scale = 1 / Math.Sqrt(square);
        return [.. state.Take(length).Select(value => (float)(value * scale))];
    }

    private static void WriteNumbers(Utf8JsonWriter writer, float[] vector)
    {
        writer.WriteStartArray();
        foreach (float value in vector)
            writer.WriteNumberValue(value);
        writer.WriteEndArray();
    }
}
