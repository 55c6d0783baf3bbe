using System.Text.Json;

namespace Flint.Contemplate;

/// <summary>A call of a function, as a model wrote it.</summary>
/// <param name="Name">The function.</param>
/// <param name="Arguments">Its arguments, which should be JSON.</param>
public sealed record FunctionCall(string Name, string Arguments);

/// <summary>What an agent asks of others: a message to each, made of a template and an item.</summary>
/// <param name="MessageTemplate">The message, with <see cref="Place"/> where the item goes.</param>
/// <param name="Items">An item for each agent, 1 to <see cref="SubagentOptions.MaxItems"/>.</param>
public sealed record SubagentCall(string MessageTemplate, IReadOnlyList<string> Items)
{
    /// <summary>The function that is called.</summary>
    public const string Function = "subagents.spawn";

    /// <summary>Stands for the item in a template.</summary>
    public const string Place = "{item}";

    /// <summary>The message of one agent.</summary>
    public string Message(int item) => MessageTemplate.Replace(Place, Items[item], StringComparison.Ordinal);

    /// <summary>Reads a call's arguments.</summary>
    /// <param name="arguments">JSON: <c>message_template</c> and <c>items</c>.</param>
    /// <param name="fault">What is wrong with them, for the model to read; null where nothing is.</param>
    /// <returns>Null where something is wrong.</returns>
    public static SubagentCall? Read(string arguments, out string? fault)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(arguments);
            return Read(document.RootElement, out fault);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or ArgumentException)
        {
            // The others: a string that holds half of a surrogate pair.
            fault = "The arguments are not valid JSON.";
            return null;
        }
    }

    private static SubagentCall? Read(JsonElement root, out string? fault)
    {
        fault = null;
        if (root.ValueKind != JsonValueKind.Object)
            fault = "The arguments must be an object.";
        else if (!root.TryGetProperty("message_template", out JsonElement template) || template.ValueKind != JsonValueKind.String)
            fault = "'message_template' must be a string.";
        else if (!template.GetString()!.Contains(Place, StringComparison.Ordinal))
            fault = $"'message_template' must contain {Place}.";
        else if (!root.TryGetProperty("items", out JsonElement items) || items.ValueKind != JsonValueKind.Array || items.GetArrayLength() is < 1 or > SubagentOptions.MaxItems)
            fault = $"'items' must be an array of 1 to {SubagentOptions.MaxItems} strings.";
        else if (items.EnumerateArray().Any(item => item.ValueKind != JsonValueKind.String))
            fault = "'items' must hold strings alone.";
        else
            return new SubagentCall(template.GetString()!, [.. items.EnumerateArray().Select(item => item.GetString()!)]);
        return null;
    }
}
