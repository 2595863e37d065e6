"""Stand-in for DCGM's module of this name: values of fields, by entity."""


class DcgmFieldValue:
    """One value, blank in each of DCGM's ways."""

    def __init__(self, number, raw, ts, status):
        self.fieldId, self.ts, self.value, self.isBlank = number, ts, None, status != 0
        if status:
            return
        self.value = raw
        if isinstance(raw, str):
            self.isBlank = raw.startswith("<<<") and ">>>" in raw
        else:
            self.isBlank = raw >= (140737488355328.0 if isinstance(raw, float) else 0x7FFFFFFFFFFFFFF0)


class DcgmFieldValueEntityCollection:
    """Values of a group: `.values[entityGroupId][entityId][fieldId][place]`."""

    def __init__(self, handle, groupId):
        self.values = {}
        self._handle, self._groupId = handle, groupId
        self._nextSinceTimestamp = 0

    def GetLatestValues(self, fieldGroup):
        self._take(self._handle.ask("latest", self._groupId, fieldGroup.fieldGroupId.value))

    def GetAllSinceLastCall(self, fieldGroup):
        since = self._nextSinceTimestamp
        self._take(self._handle.ask("since", self._groupId, fieldGroup.fieldGroupId.value, since))

    def _take(self, told):
        for gpu, number, raw, ts, status in told:
            series = self.values.setdefault(1, {}).setdefault(gpu, {}).setdefault(number, [])
            series.append(DcgmFieldValue(number, raw, ts, status))
