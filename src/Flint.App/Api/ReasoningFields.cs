using System.Text.Json;
using Flint.App.Serving;

namespace Flint.App.Api;

/// <summary>How an answer is to be thought, and what of that is told: fields that this server has beside an API's own, alike in every chat.</summary>
/// <param name="Mode">The field <c>mode</c>; null where it is absent.</param>
/// <param name="Budget">The field <c>thinking_budget</c>, the most tokens of thoughts; null for no limit.</param>
/// <param name="Included">What the field <c>include</c> asks for.</param>
/// <param name="TellsMode">Whether the answer tells the mode: where the caller shows to know of modes.</param>
internal sealed record ReasoningFields(ReasoningMode? Mode, int? Budget, IReadOnlySet<string> Included, bool TellsMode)
{
    private const string Contemplation = "contemplation";

    /// <summary>The effort that is the mode of this name.</summary>
    public const string Contemplating = "contemplating";

    /// <summary>Efforts that a request may ask for.</summary>
    public static readonly string[] Efforts = [.. ModePlan.Efforts, Contemplating];

    /// <summary>Whether the answer comes with the tree of its contemplation.</summary>
    public bool TellsContemplation => Included.Contains(Contemplation);

    /// <summary>Whether the answer comes with the tree of its sub-agents.</summary>
    public bool TellsSubagents => Included.Contains(SubagentFields.Name);

    /// <summary>Reads them.</summary>
    /// <param name="body">The request's body.</param>
    /// <param name="others">What the API's own <c>include</c> knows beside the trees.</param>
    /// <exception cref="ApiException">A field has a wrong type or value.</exception>
    public static ReasoningFields Read(JsonFields body, params string[] others)
    {
        string[] known = [Contemplation, SubagentFields.Name, .. others];
        var included = new HashSet<string>();
        if (body.Array("include", ApiLimits.MaxIncludes) is JsonElement array)
        {
            int index = 0;
            foreach (JsonElement one in array.EnumerateArray())
            {
                string path = $"include[{index++}]", value = JsonFields.Text(one, path);
                if (!known.Contains(value))
                    throw JsonFields.InvalidChoice(path, value, known);
                included.Add(value);
            }
        }

        return new ReasoningFields(
            ModePlan.Find(body.Choice("mode", ModePlan.Names)), body.Int("thinking_budget", 0, int.MaxValue), included,
            included.Contains(Contemplation) || body.TryGet("mode", out _));
    }

    /// <summary>The mode that an effort stands for; null where it is a mere effort.</summary>
    public static ReasoningMode? ModeOf(string? effort) => effort == Contemplating ? ReasoningMode.Contemplating : null;

    /// <summary>An effort that is no mode; null for the model's own way.</summary>
    public static string? EffortOf(string? effort) => effort == Contemplating ? null : effort;
}
