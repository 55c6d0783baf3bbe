using System.Buffers;
using System.Text;
using System.Text.Json;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>What a caller was told, choice by choice, for the store that keeps it. Any thread.</summary>
internal sealed class AnswerLog
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<int, Told> _choices = [];

    /// <summary>Takes note of a choice, of which nothing may be told in the end.</summary>
    public AnswerLog Begin(int choice)
    {
        lock (_gate)
            _choices.TryAdd(choice, new Told());
        return this;
    }

    /// <summary>Takes what is told of a choice.</summary>
    public void Add(int choice, in ResponseDelta delta)
    {
        lock (_gate)
        {
            if (!_choices.TryGetValue(choice, out Told? told))
                _choices[choice] = told = new Told();
            switch (delta.Kind)
            {
                case ResponseDeltaKind.Reasoning:
                    told.Reasoning.Append(delta.Text);
                    break;
                case ResponseDeltaKind.Content:
                    told.Content.Append(delta.Text);
                    break;
                case ResponseDeltaKind.ToolCallStart:
                    told.Calls.Add((delta.ToolName ?? "", new StringBuilder()));
                    break;
                case ResponseDeltaKind.ToolCallArguments when told.Calls.Count > 0:
                    told.Calls[^1].Arguments.Append(delta.Text);
                    break;
            }
        }
    }

    /// <summary>All of it: an array of choices with <c>index</c>, <c>content</c>, and <c>reasoning</c> and <c>calls</c> where there are some.</summary>
    public string ToJson()
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(bytes, ApiJson.Options))
        {
            lock (_gate)
            {
                writer.WriteStartArray();
                foreach ((int index, Told told) in _choices)
                    Write(writer, index, told);
                writer.WriteEndArray();
            }
        }

        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    private static void Write(Utf8JsonWriter writer, int index, Told told)
    {
        writer.WriteStartObject();
        writer.WriteNumber("index"u8, index);
        writer.WriteString("content"u8, told.Content.ToString());
        if (told.Reasoning.Length > 0)
            writer.WriteString("reasoning"u8, told.Reasoning.ToString());
        if (told.Calls.Count > 0)
        {
            writer.WriteStartArray("calls"u8);
            foreach ((string name, StringBuilder arguments) in told.Calls)
            {
                writer.WriteStartObject();
                writer.WriteString("name"u8, name);
                writer.WriteString("arguments"u8, arguments.ToString());
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
        }

        writer.WriteEndObject();
    }

    private sealed class Told
    {
        public StringBuilder Content { get; } = new();

        public StringBuilder Reasoning { get; } = new();

        public List<(string Name, StringBuilder Arguments)> Calls { get; } = [];
    }
}
